"""From verdicts to one sentence a subject: which recipe to train in, on what evidence, or what would decide.

A recipe is recommended only if it is told to be faster than the reference, keeps the accuracy (equivalent or better,
where accuracy was measured at all), and lost none of its replicates. Everything else is "keep" or "can't tell".
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ampbench.visualize.judge.pairs import log_ratios
from ampbench.visualize.judge.verdict import Verdict, images_that_decide, reference_of
from ampbench.visualize.read.words import count
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.effect import ALPHA, SAME

Kind = Literal["use", "keep", "can't tell"]

VOUCHING = ("fp32", "tf32")
"""Recipes with an accuracy that others may be held against; among 16-bit ones alone all may have lost the same."""

LONE = "so there is nothing to compare it with"

MANY = 3
"""Subjects of one recipe each, as runs by flags are, that are told in one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """What to do with one subject."""

    subject: str
    sentence: str
    decided: bool
    """False if it reads "can't tell" for some batch size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    """The decision for one batch size; choices that say the same share a clause of the sentence."""

    kind: Kind
    batch_size: int
    recipe: str = ""
    claim: str = ""
    evidence: str = ""
    """The numbers behind the claim: what differs from batch size to batch size."""
    tail: str = ""
    """Caveats; `{more}` stands for how many more replicates would decide."""
    more: int = 0


def recommend(cells: pd.DataFrame, verdicts: Iterable[Verdict]) -> list[Recommendation]:
    """Return one recommendation a subject; subjects that nothing was held against share one, where they are many.

    Args:
        cells: `Results.cells`.
        verdicts: `judge(cells)`.
    """
    verdicts = list(verdicts)
    found, lone = [], []
    for subject, rows in cells.groupby("subject", sort=False):
        clauses: dict[tuple[str, ...], list[_Choice]] = {}
        for batch_size, own in rows.groupby("batch_size"):
            here = [v for v in verdicts if (v.subject, v.batch_size) == (subject, batch_size)]
            choice = _choose(int(str(batch_size)), own[own["status"] == "ok"], here)
            clauses.setdefault((choice.kind, choice.recipe, choice.claim, choice.tail), []).append(choice)
        text = "; ".join(_clause(str(subject), choices) for choices in clauses.values())
        if all(choices[0].claim.endswith(LONE) for choices in clauses.values()):
            lone.append(len(found))
        decided = all(choices[0].kind != "can't tell" for choices in clauses.values())
        found.append(Recommendation(subject=str(subject), sentence=f"{text[0].upper()}{text[1:]}.", decided=decided))
    if len(lone) < MANY:
        return found
    words = (
        f"Can't tell for {len(lone)} subjects of {len(found)}: of each only one recipe ran to its end, {LONE}; run one "
        "of them in another recipe, all else alike."
    )
    shared = Recommendation(subject=found[lone[0]].subject, sentence=words, decided=False)
    return [one for i, one in enumerate(found) if i not in lone] + [shared]


def _clause(subject: str, choices: list[_Choice]) -> str:
    first = choices[0]
    batches = ", ".join(str(c.batch_size) for c in choices)
    heads: dict[Kind, str] = {
        "use": f"train {subject} in {first.recipe}",
        "keep": f"keep {first.recipe} for {subject}",
        "can't tell": f"can't tell for {subject}",
    }
    if len(choices) > 1:
        evidence = "; ".join(f"{c.evidence} at batch {c.batch_size}" for c in choices if c.evidence)
    else:
        evidence = first.evidence
    tail = first.tail.format(more=max(c.more for c in choices))
    numbers = f" ({evidence})" if evidence else ""
    rest = tail + numbers if first.kind == "can't tell" else numbers + tail  # what to do next before why
    return f"{heads[first.kind]} at batch {batches}: {first.claim}{rest}"


def _choose(batch_size: int, ok: pd.DataFrame, verdicts: list[Verdict]) -> _Choice:
    reference = reference_of(ok)
    if not reference:
        return _Choice(kind="can't tell", batch_size=batch_size, claim="no cell ran to its end")
    if not verdicts:
        claim = f"only {reference} ran to its end, {LONE}"
        return _Choice(kind="can't tell", batch_size=batch_size, claim=claim)
    fastest_first = sorted(verdicts, key=lambda v: -v.speed.estimate if v.speed.n else math.inf)
    if reference not in VOUCHING and any(v.accuracy for v in verdicts):
        claim = f"no {' or '.join(VOUCHING)} run came through here to say what {reference}'s accuracy is worth"
        nearest = fastest_first[0]
        return _Choice(
            kind="can't tell", batch_size=batch_size, claim=claim, evidence=f"{nearest.recipe} {nearest.speed}"
        )
    if any(v.accuracy for v in verdicts) and _learned_nothing(ok, reference):
        claim = f"{reference} learned nothing here, so no accuracy can be held against it; mend the training first"
        nearest = fastest_first[0]
        return _Choice(
            kind="can't tell", batch_size=batch_size, claim=claim, evidence=f"{nearest.recipe} {nearest.speed}"
        )
    faster = [v for v in fastest_first if v.speed.verdict == "faster"]
    unsettled = [v for v in faster if v.why_open and not v.num_failed]
    winners = [v for v in faster if v.keeps_accuracy]
    # Not told to be faster, but nothing excludes it either; NaN, an interval that there is not, excludes nothing.
    blurred = [v for v in fastest_first if v.speed.verdict == "can't tell" and not math.log(v.speed.high or 1) <= SAME]
    blurred.sort(key=lambda v: v.num_failed > 0)
    if winners:
        return _use(batch_size, ok, winners, unsettled)
    if unsettled:
        return _accuracy_open(batch_size, unsettled)
    if blurred:
        return _speed_open(batch_size, blurred)
    return _keep(batch_size, reference, fastest_first, faster)


def _learned_nothing(ok: pd.DataFrame, recipe: str) -> bool:
    """Whether a training of a recipe is known to be no better than guessing; older rows do not say."""
    own = ok.loc[ok["precision"] == recipe]
    return "learned" in own and bool(own["learned"].isin([False]).any())


def _use(batch_size: int, ok: pd.DataFrame, winners: list[Verdict], unsettled: list[Verdict]) -> _Choice:
    best = winners[0]
    evidence = [f"{best.speed}, {count(best.speed.n, 'pair', 'pairs')}"]
    if best.accuracy is not None:
        evidence.append(str(best.accuracy))
    if abs(best.memory_saved_share) >= 0.01:
        more_or_less = "less" if best.memory_saved_share > 0 else "more"
        evidence.append(f"{abs(best.memory_saved_share):.0%} {more_or_less} memory")
    claim = f"faster than {best.reference}"
    claim += f" with {best.accuracy.verdict} test accuracy" if best.accuracy else ", accuracy not measured"
    alpha = ALPHA / max(1, len(winners) - 1)
    direct = {v.recipe: statistics.compare_speed(log_ratios(ok, best.recipe, v.recipe), alpha) for v in winners[1:]}
    tied = [recipe for recipe, ratio in direct.items() if ratio.verdict != "slower"]
    ahead = [v.recipe for v in unsettled if v.speed.estimate > best.speed.estimate]
    tail = f", and {' and '.join(tied)} may be as fast" if tied else ""
    tail += f"; the accuracy of {' and '.join(ahead)}, faster still, is open" if ahead else ""
    return _Choice(
        kind="use", batch_size=batch_size, recipe=best.recipe, claim=claim, evidence=", ".join(evidence), tail=tail
    )


def _accuracy_open(batch_size: int, unsettled: list[Verdict]) -> _Choice:
    hopeful = [v for v in unsettled if v.accuracy and v.accuracy.estimate >= -v.accuracy.margin]
    best = (hopeful or unsettled)[0]
    assert best.accuracy is not None, "accuracy that was not measured is not open"
    if best.too_coarse:
        tail = f": {best.why_open}"
    elif best.accuracy.more is None:
        tail = ", and no affordable number of seeds would decide"
    else:
        tail = "; about {more} more seeds would decide"
    return _Choice(
        kind="can't tell",
        batch_size=batch_size,
        recipe=best.recipe,
        claim=f"{best.recipe} is faster than {best.reference}, but its accuracy is open",
        evidence=f"{best.speed}, {best.accuracy}, {count(best.accuracy.n, 'seed', 'seeds')}",
        tail=tail,
        more=best.accuracy.more or 0,
    )


def _speed_open(batch_size: int, blurred: list[Verdict]) -> _Choice:
    best = blurred[0]
    n, more = best.speed.n, best.speed.more
    what = "seeds" if best.accuracy else "[measure] rounds"
    if n == 0:
        tail = ": no process of it shares machine and seed with one of the reference"
    elif n == 1:
        tail = f": one process each gives no interval, {{more}} more {what} would"
    elif more is None:
        tail = f": it is within the noise of {n} pairs, and no affordable number would decide"
    else:
        tail = f": it is within the noise of {n} pairs, about {{more}} more {what} would decide"
    tail += _coarse(best)
    return _Choice(
        kind="can't tell",
        batch_size=batch_size,
        recipe=best.recipe,
        claim=f"{best.recipe} looks faster than {best.reference}"
        if best.speed.estimate > 1
        else f"whether {best.recipe} is faster than {best.reference} is open",
        evidence=str(best.speed) + _blind(best),
        tail=tail,
        more=more or 0,
    )


def _keep(batch_size: int, reference: str, verdicts: list[Verdict], faster: list[Verdict]) -> _Choice:
    best = (faster or verdicts)[0]
    evidence = str(best.speed)
    if not faster:
        claim = f"no recipe that ran is faster, the nearest is {best.recipe}"
    elif best.num_failed:
        claim = f"{best.recipe} is faster, but not all of its runs came through"
        evidence += f", {best.num_failed} of {best.num_ok + best.num_failed} lost"
    else:
        claim = f"{best.recipe} is faster, but loses test accuracy"
        evidence += f", {best.accuracy}"
    lean = [v for v in verdicts if v.speed.verdict == "same" and v.keeps_accuracy and v.memory_saved_share > 0.05]
    tail = _coarse(best) if not faster else ""
    if best.num_reference_failed:
        tail += f"; {best.num_reference_failed} runs of {reference} itself were lost"
    if lean:
        least = max(lean, key=lambda v: v.memory_saved_share)
        tail += f"; {least.recipe} is as fast and takes less memory"
    return _Choice(kind="keep", batch_size=batch_size, recipe=reference, claim=claim, evidence=evidence, tail=tail)


def _coarse(verdict: Verdict) -> str:
    """Say that the test set is too small to compare accuracies on; empty if it is not."""
    if not verdict.too_coarse or verdict.accuracy is None or verdict.accuracy.verdict != "can't tell":
        return ""
    enough = images_that_decide(verdict.accuracy.margin)
    return f"; on accuracy can't tell, equivalence takes {enough:,} test images or more"


def _blind(verdict: Verdict) -> str:
    """Say how large a gain these pairs would have shown; empty where they show none at all."""
    gain = verdict.speed.detectable
    return f"; a gain of {gain:.0%} would have shown" if gain <= 1 else ""
