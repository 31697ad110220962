"""The decision for one batch size: a recipe to use, the reference to keep, or what would decide between them.

A recipe is recommended only if its speed is judged faster than that of the reference, its accuracy is equivalent or
better (where accuracy was measured), and none of its replicates failed. Everything else is "keep" or "can't tell".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ampbench.visualize.judge.draft import reference_of
from ampbench.visualize.judge.pairs import log_ratios
from ampbench.visualize.judge.verdict import Verdict, images_that_decide
from ampbench.visualize.read.words import count
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.effect import ALPHA, SAME

Kind = Literal["use", "keep", "can't tell"]

ACCURACY_REFERENCES = ("fp32", "tf32")
"""Recipes that accuracies may be compared with: 16-bit recipes may all have lost the same accuracy."""

LONE = "so there is nothing to compare it with"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The decision for one batch size; equal decisions share a clause of the sentence."""

    kind: Kind
    batch_size: int
    recipe: str = ""
    claim: str = ""
    evidence: str = ""
    """The numbers that support the claim; they differ between batch sizes."""
    tail: str = ""
    """Caveats; `{more}` is replaced by the number of further replicates that would decide."""
    more: int = 0


def choose(batch_size: int, ok: pd.DataFrame, verdicts: list[Verdict]) -> Choice:
    """Return the decision for one batch size of one subject.

    Args:
        batch_size: of the cells.
        ok: the cells that ran to their end.
        verdicts: of each recipe against the reference.
    """
    reference = reference_of(ok)
    if not reference:
        return Choice(kind="can't tell", batch_size=batch_size, claim="no cell ran to its end")
    if not verdicts:
        claim = f"only {reference} ran to its end, {LONE}"
        return Choice(kind="can't tell", batch_size=batch_size, claim=claim)
    fastest_first = sorted(verdicts, key=lambda v: -v.speed.estimate if v.speed.n else math.inf)
    if reference not in ACCURACY_REFERENCES and any(v.accuracy for v in verdicts):
        missing = " or ".join(ACCURACY_REFERENCES)
        claim = f"no {missing} run ended well here, so {reference}'s accuracy cannot be compared with one"
        nearest = fastest_first[0]
        return Choice(
            kind="can't tell", batch_size=batch_size, claim=claim, evidence=f"{nearest.recipe} {nearest.speed}"
        )
    if any(v.accuracy for v in verdicts) and _learned_nothing(ok, reference):
        claim = f"{reference} learned nothing here, so no accuracy can be compared with it; correct the training first"
        nearest = fastest_first[0]
        return Choice(
            kind="can't tell", batch_size=batch_size, claim=claim, evidence=f"{nearest.recipe} {nearest.speed}"
        )
    faster = [v for v in fastest_first if v.speed.verdict == "faster"]
    unsettled = [v for v in faster if v.why_open and not v.num_failed]
    winners = [v for v in faster if v.keeps_accuracy]
    # Not shown to be faster, but not excluded either. NaN means that there is no interval, which excludes nothing.
    undecided = [
        v for v in fastest_first if v.speed.verdict == "can't tell" and not math.log(v.speed.high or 1) <= SAME
    ]
    undecided.sort(key=lambda v: v.num_failed > 0)
    if winners:
        return _use(batch_size, ok, winners, unsettled)
    if unsettled:
        return _accuracy_open(batch_size, unsettled)
    if undecided:
        return _speed_open(batch_size, undecided)
    return _keep(batch_size, reference, fastest_first, faster)


def _learned_nothing(ok: pd.DataFrame, recipe: str) -> bool:
    """Whether a training of a recipe is known to be no better than guessing; older records do not say."""
    own = ok.loc[ok["precision"] == recipe]
    return "learned" in own and bool(own["learned"].isin([False]).any())


def _use(batch_size: int, ok: pd.DataFrame, winners: list[Verdict], unsettled: list[Verdict]) -> Choice:
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
    return Choice(
        kind="use", batch_size=batch_size, recipe=best.recipe, claim=claim, evidence=", ".join(evidence), tail=tail
    )


def _accuracy_open(batch_size: int, unsettled: list[Verdict]) -> Choice:
    promising = [v for v in unsettled if v.accuracy and v.accuracy.estimate >= -v.accuracy.margin]
    best = (promising or unsettled)[0]
    assert best.accuracy is not None, "accuracy that was not measured is not open"
    if best.too_coarse:
        tail = f": {best.why_open}"
    elif best.accuracy.more is None:
        tail = ", and no affordable number of seeds would decide"
    else:
        tail = "; about {more} more seeds would decide"
    return Choice(
        kind="can't tell",
        batch_size=batch_size,
        recipe=best.recipe,
        claim=f"{best.recipe} is faster than {best.reference}, but its accuracy is open",
        evidence=f"{best.speed}, {best.accuracy}, {count(best.accuracy.n, 'seed', 'seeds')}",
        tail=tail,
        more=best.accuracy.more or 0,
    )


def _speed_open(batch_size: int, undecided: list[Verdict]) -> Choice:
    best = undecided[0]
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
    return Choice(
        kind="can't tell",
        batch_size=batch_size,
        recipe=best.recipe,
        claim=f"{best.recipe} may be faster than {best.reference}"
        if best.speed.estimate > 1
        else f"whether {best.recipe} is faster than {best.reference} is open",
        evidence=str(best.speed) + _blind(best),
        tail=tail,
        more=more or 0,
    )


def _keep(batch_size: int, reference: str, verdicts: list[Verdict], faster: list[Verdict]) -> Choice:
    best = (faster or verdicts)[0]
    evidence = str(best.speed)
    if not faster:
        claim = f"no recipe that ran is faster, the nearest is {best.recipe}"
    elif best.num_failed:
        claim = f"{best.recipe} is faster, but not all of its runs ended well"
        evidence += f", {best.num_failed} of {best.num_ok + best.num_failed} failed"
    else:
        claim = f"{best.recipe} is faster, but loses test accuracy"
        evidence += f", {best.accuracy}"
    smaller = [v for v in verdicts if v.speed.verdict == "same" and v.keeps_accuracy and v.memory_saved_share > 0.05]
    tail = _coarse(best) if not faster else ""
    if best.num_reference_failed:
        tail += f"; {best.num_reference_failed} runs of {reference} itself failed"
    if smaller:
        least = max(smaller, key=lambda v: v.memory_saved_share)
        tail += f"; {least.recipe} is as fast and takes less memory"
    return Choice(kind="keep", batch_size=batch_size, recipe=reference, claim=claim, evidence=evidence, tail=tail)


def _coarse(verdict: Verdict) -> str:
    """Say that the test set is too small to compare accuracies on; empty if it is not."""
    if not verdict.too_coarse or verdict.accuracy is None or verdict.accuracy.verdict != "can't tell":
        return ""
    enough = images_that_decide(verdict.accuracy.margin)
    return f"; can't tell for accuracy, as equivalence needs {enough:,} test images or more"


def _blind(verdict: Verdict) -> str:
    """Say how large a gain these pairs would have shown; empty where no gain up to 100 % would be visible."""
    gain = verdict.speed.detectable
    return f"; a gain of {gain:.0%} would have shown" if gain <= 1 else ""
