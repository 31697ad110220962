"""The sentences of an answer: the headline with its reason, the gain, the evidence, the other batch sizes."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

import pandas as pd

from ampbench.visualize.judge.answer.cost import HOUR_S, Training
from ampbench.visualize.judge.answer.settle import Settle
from ampbench.visualize.judge.concern import Concern
from ampbench.visualize.judge.decision.across import peak_bytes, ratios_across
from ampbench.visualize.judge.decision.contender import Contender
from ampbench.visualize.judge.decision.decision import REFERENCES, Decision
from ampbench.visualize.judge.decision.gain import NOUNS
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.judge.phrases import as_fast, from_to, in_short, less, memory_words, time_words
from ampbench.visualize.judge.runs.pairs import log_ratios
from ampbench.visualize.judge.verdict.ladder import NAMES
from ampbench.visualize.judge.verdict.verdict import images_that_decide
from ampbench.visualize.read.peaks import PEAK, instrument_of
from ampbench.visualize.read.words import count
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.effect import ALPHA

MOST_CONCERNS = 3
"""Concerns that one line lists."""
MOST_REASONS = 3
"""Reasons against faster recipes, a line each."""
MOST_BATCHES = 5
"""Batch sizes that one line lists."""


def action_of(decision: Decision, wishes: Wishes) -> str:
    """Return what to do now, as in `train in bf16 at batch 128`, and why in a clause where it is to stay."""
    chosen = decision.chosen
    if chosen:
        return f"train in {chosen.recipe} at batch {chosen.batch_size}"
    limit = f" within {memory_words(wishes.max_memory_bytes)}" if wishes.max_memory_bytes else ""
    if decision.base is None:
        return f"nothing can be advised, because {why_none(decision)}{limit}"
    if not decision.base_fits:
        unfit = f"{decision.reference} is not known to fit"
        return f"nothing can be advised{limit}: {unfit}, and {_why_stay(decision, wishes)}"
    if decision.action == "none":
        return (
            f"nothing can be advised: {_why_stay(decision, wishes)}; mend what ended it, and add --again failed,crashed"
        )
    return f"stay with {stay_with(decision)}; {_why_stay(decision, wishes)}"


def why_none(decision: Decision) -> str:
    """Say why there is nothing to decide: what is excluded from a file may be all that is there of a network yet."""
    is_untried = decision.ended and all(row.measured.status == "excluded" for row in decision.ended)
    return "none of its cells has run yet" if is_untried else "no run ended well"


def stay_with(decision: Decision) -> str:
    """Return the recipe to stay with."""
    return decision.reference if decision.reference in REFERENCES else REFERENCES[0]


def _why_stay(decision: Decision, wishes: Wishes) -> str:
    reference, found = decision.reference, decision.contenders
    if reference not in REFERENCES:
        how = "; ".join(f"{row.recipe} {row.measured.status}" for row in decision.ended[:2])
        lacks = f"ended well ({how})" if how else "is there to compare with"
        return f"no run of {' or '.join(REFERENCES)} {lacks}, and 16 bits vouch for nothing"
    if not found and wishes.max_memory_bytes and any(row.recipe != reference for row in decision.too_large):
        return f"no other recipe is known to fit {memory_words(wishes.max_memory_bytes)}"
    if not found:
        return "no other recipe ran to its end, so there is nothing to compare it with"
    better = [one for one in found if one.told == "better"]
    undecided = [one for one in found if one.told == "open"]
    if better:
        return f"{better[0].recipe} is {_gained(better[0], reference, wishes)}, but {better[0].against}"
    if undecided:
        return _why_open(undecided[0], reference, wishes)
    word = {"speed": "is faster", "memory": "takes less memory"}.get(wishes.want, f"takes less {NOUNS[wishes.want]}")
    return f"no recipe {word} (the nearest, {found[0].recipe}, is {_gained(found[0], reference, wishes)})"


def _gained(one: Contender, reference: str, wishes: Wishes) -> str:
    if wishes.want == "speed":
        return in_short(one.ratio, reference)
    return f"at {100 * one.ratio.estimate:.0f} % of {reference}'s {NOUNS[wishes.want]}"


def _why_open(one: Contender, reference: str, wishes: Wishes) -> str:
    recipe, ratio = one.recipe, one.ratio
    if not ratio.n:
        if wishes.want != "speed":
            return f"{NOUNS[wishes.want]} was not measured for both {reference} and {recipe}"
        if not one.standing.measured.num_timed:
            return f"no run of {recipe} has a speed"
        return f"no run of {recipe} shares its seed, round and machine with one of {reference}"
    if ratio.n == 1:
        return f"{recipe} was {_gained(one, reference, wishes)} in the one pair of runs, and one pair shows no noise"
    return f"{recipe} is within the noise of {count(ratio.n, 'pair', 'pairs')} of runs"


def gain_line(cells: pd.DataFrame, decision: Decision, training: Training | None) -> str:
    """Return what the chosen recipe gains: speed with its interval, memory, energy, hours."""
    chosen, base = decision.chosen, decision.base
    assert chosen is not None, "nothing is gained without a choice"
    assert base is not None, "a recipe is chosen over a reference"
    at = f" at batch {base.batch_size}, its fastest" if base.batch_size != chosen.batch_size else ""
    parts = [as_fast(chosen.speed, f"{base.recipe}{at}")]
    both = [(row.recipe, row.batch_size) for row in (base, chosen.standing)]
    own = [one in both for one in zip(cells["recipe"], cells["batch_size"], strict=True)]
    instrument = instrument_of(cells[own]).in_short
    memory = f"memory ({instrument})" if instrument else "memory"
    for column, what in ((PEAK, memory), ("joules_per_image", "energy per image")):
        (ratio,) = ratios_across(cells, column, base, [chosen.standing])
        parts.append(less(1 - ratio.estimate, what) if ratio.n else "")
    before, after = base.measured.images_per_s, chosen.standing.measured.images_per_s
    if training and before and after:
        parts.append(f"{from_to(training.seconds(before), training.seconds(after))} for {training.words}")
    return ", ".join(filter(None, parts))


def evidence_line(standing: Standing, of: str = "") -> str:
    """Return the rungs that a recipe stands on, and what was not measured."""
    steps = standing.evidence.steps
    told = ", ".join(f"{NAMES[step.rung]} ({step.text})" for step in steps)
    highest = standing.evidence.highest
    missing = "" if highest and highest.rung == max(NAMES) else "; accuracy not measured yet"
    return f"evidence{of}: {told or 'none'}{missing}"


def rival_lines(cells: pd.DataFrame, decision: Decision) -> list[str]:
    """Name the recipes at the same batch size that may be as good, and the faster ones with what is against them."""
    chosen = decision.chosen
    if chosen is None:
        return []
    beside = [one for one in decision.contenders if one.batch_size == chosen.batch_size and one != chosen]
    own = cells[cells["batch_size"] == chosen.batch_size]
    rivals = [one for one in beside if one.advisable]
    alpha = ALPHA / max(1, len(rivals))
    direct = {one.recipe: statistics.compare_speed(log_ratios(own, chosen.recipe, one.recipe), alpha) for one in rivals}
    tied = [recipe for recipe, ratio in direct.items() if ratio.verdict != "slower"]
    lines = [f"{' and '.join(tied)} may be as fast"] if tied else []
    why: dict[str, list[str]] = {}
    for one in beside:
        if one.told == "better" and one.against and _ahead(one, chosen):
            why.setdefault(one.against, []).append(one.recipe)
    for against, recipes in itertools.islice(why.items(), MOST_REASONS):
        lines.append(f"{' and '.join(recipes)} {'is' if len(recipes) == 1 else 'are'} faster still, but {against}")
    return lines


def _ahead(one: Contender, other: Contender) -> bool:
    return (one.standing.measured.images_per_s or 0.0) > (other.standing.measured.images_per_s or 0.0)


def batch_lines(cells: pd.DataFrame, decision: Decision) -> list[str]:
    """Answer for several batch sizes: each at its best, at the same batch size, in the same memory."""
    base = decision.base
    sizes = {one.batch_size for one in decision.contenders} | ({base.batch_size} if base else set())
    if base is None or len(sizes) < 2 or not decision.contenders:
        return []
    best = decision.chosen or decision.contenders[0]
    if decision.own_batches:
        own = decision.own_batches
        within = "the memory of the board" if own.memory_gib is None else memory_words(int(own.memory_gib * 2**30))
        how = f"at equal memory ({within}), each at the largest batch that fits"
        how = how if own.word == "max" else "each at the smallest batch that is about as fast as any"
        return [f"{how}: {best.recipe} at {best.batch_size}, {as_fast(best.speed, _named(base))}"]
    lines = [f"each at its best batch: {best.recipe} at {best.batch_size}, {as_fast(best.speed, _named(base))}"]
    first = next(one for one in decision.contenders if one.recipe == best.recipe)
    if best == decision.chosen == first and best.batch_size == base.batch_size:  # the gain was said
        lines = [f"both are at their best at batch {base.batch_size}"]
    beside = [one for one in decision.contenders if one.recipe == best.recipe]
    beside.sort(key=lambda one: one.batch_size)
    words = []
    for one in beside:
        verdict = one.standing.verdict
        ratio = verdict.speed if verdict and verdict.reference == base.recipe else None
        said = f"{ratio.estimate:.2f}x" if ratio and ratio.n else f"no run of {base.recipe} to compare with"
        words.append(f"{one.batch_size}: {said}")
    more = len(words) - MOST_BATCHES
    listed = ", ".join(words[:MOST_BATCHES]) + (f" and {more} more" if more > 0 else "")
    lines.append(f"at the same batch, {best.recipe} against {base.recipe}: {listed}")
    room = peak_bytes(cells, base)
    fitting = [one for one in decision.contenders if one.advisable and peak_bytes(cells, one.standing) <= room]
    if fitting and fitting[0] != best:
        one = fitting[0]
        what = f"{one.recipe} at batch {one.batch_size}, {as_fast(one.speed, _named(base))}"
        lines.append(f"in the {memory_words(room)} that {_named(base)} takes: {what}")
    return lines


def _named(base: Standing) -> str:
    return f"{base.recipe} at batch {base.batch_size}"


def health_line(decision: Decision) -> str:
    """Return what to know of the numbers of the recipe that the answer speaks of, and of the reference."""
    nearest = decision.chosen or next(iter(decision.contenders), None)
    rows = [*([nearest.standing] if nearest else []), *([decision.base] if decision.base else [])]
    whose: dict[Concern, list[str]] = {}
    for concern, recipe in ((concern, row.recipe) for row in rows for concern in row.concerns):
        whose.setdefault(concern, []).append(recipe)
    worst = sorted(whose, key=lambda concern: not concern.spoils)
    words = [
        f"{' and '.join(whose[one])}: {one.text}" + (f" ({one.next_move})" if one.spoils and one.next_move else "")
        for one in worst[:MOST_CONCERNS]
    ]
    more = len(worst) - len(words)
    return f"health: {'; '.join(words)}" + (f"; {more} more" if more else "") if words else ""


def settle_line(settle: Settle, path: Path) -> str:
    """Return the command that would settle what is open, and what it costs."""
    command = f"python bench/run_matrix.py {shlex.quote(str(path))} --results {shlex.quote(str(path.parent))}"
    command += " --exclusive" if settle.exclusive else ""
    cost = "" if settle.hours is None else f", about {time_words(settle.hours * HOUR_S)}"
    runs = "trainings" if settle.decides.startswith("accuracy") else "timings"
    return f"to settle {settle.decides}: {command} ({settle.num_trainings} {runs}{cost})"


def why_not_settled(decision: Decision) -> str:
    """Say why no experiment is proposed although something is open; empty if there is no such reason."""
    one = decision.chosen
    verdict = one.standing.verdict if one else None
    if one and verdict and verdict.accuracy and verdict.accuracy.verdict == "can't tell":
        if verdict.too_coarse:
            needed = images_that_decide(verdict.accuracy.margin)
            known = verdict.num_test_images
            images = f"{known:,} test images" if known else "a test set of unknown size"
            return f"the accuracy cannot be settled on {images}; it takes {needed:,} or more"
        if verdict.accuracy.more is None:
            return "no affordable number of seeds would settle the accuracy"
        return f"about {count(verdict.accuracy.more, 'more seed', 'more seeds')} would settle the accuracy"
    return ""
