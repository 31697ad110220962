"""The Pareto front of a subject: recipes and batch sizes that no other one beats in everything.

One dominates another if it is shown to be better in at least one of speed, memory, energy and accuracy, and no worse in
each of the others that were measured of both. Speeds, energies and accuracies are compared by intervals that the family
of all comparisons widens: where the interval does not tell, nothing is dominated. Peaks of an allocator repeat
themselves, so they are compared by their ranges; those of a resident set do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.visualize.judge.decision.gain import Told, apart
from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.runs.pairs import PAIR, log_ratios, numbered, point_differences, positive
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.peaks import INSTRUMENT, PEAK, instrument_of
from ampbench.visualize.stats import effect, statistics
from ampbench.visualize.stats.effect import Effect
from ampbench.visualize.stats.family import LEAST_SD, Family

Axis = Literal["speed", "memory", "energy", "accuracy"]
AXES: tuple[Axis, ...] = get_args(Axis)
RATIOS: dict[Axis, tuple[str, str]] = {
    "speed": ("images_per_s", ""),
    "energy": ("joules_per_image", "energy_instrument"),
    "memory": (PEAK, INSTRUMENT),
}
"""What is compared by its ratio -> its column, and the column that says which instrument measured it. Memory only where
it is the resident set."""
COMPARED = 24
"""Points that are all compared with each other. Of more, each is compared only with those that no other point beats in
the means: the number of comparisons grows with the square, and each of them widens the intervals of all."""
MOST_COMPARISONS, FEWEST_RIVALS = 1000, 3
"""If those are still too many, with some of them, evenly spread from the slowest to the fastest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontPoint:
    """One recipe at one batch size, and what beats it."""

    standing: Standing
    dominated_by: tuple[Standing, ...]
    """No worse in anything that was measured of both, and better in something; empty on the front."""

    @property
    def on_front(self) -> bool:
        """Whether nothing beats it."""
        return not self.dominated_by


def front_of(
    results: Results,
    standings: Sequence[Standing],
    by: Collection[Axis] = AXES,
    margin: float = MARGIN_POINTS,
) -> list[FrontPoint]:
    """Return a point for each recipe and batch size of one subject that has a finished cell.

    Args:
        results: of one subject.
        standings: of these results.
        by: what counts; a figure of two axes shows the front of these two.
        margin: two accuracies that differ by less, in points, are equivalent.
    """
    (subject,) = results.subjects
    rows = [row for row in standings if row.subject == subject and row.measured.n]
    ok = numbered(results.ok)
    places = ok.groupby([ok["recipe"].astype(str), "batch_size"]).indices
    own = {i: _cells(ok.iloc[places[row.recipe, row.batch_size]], row) for i, row in enumerate(rows)}
    pairs = _pairs(rows, by)
    told: dict[tuple[int, int], list[Told]] = {pair: [] for pair in pairs}
    exact = not instrument_of(ok).of_process
    for axis in (axis for axis in RATIOS if axis in by and not (axis == "memory" and exact)):
        effects = {(i, j): _effect(own[i], own[j], *RATIOS[axis]) for i, j in pairs}
        for pair, said in _judged(effects):
            told[pair].append(said if axis == "speed" else _turned(said))
    for i, j in pairs if "memory" in by and exact else ():
        told[i, j] += _memory(own[i], own[j])
    for pair, said in _accuracies(own, pairs, margin) if "accuracy" in by else ():
        told[pair].append(said)
    beaten: dict[int, list[Standing]] = {i: [] for i in own}
    for (i, j), found in told.items():
        if _dominates(found):
            beaten[i].append(rows[j])
        elif _dominates([_turned(one) for one in found]):
            beaten[j].append(rows[i])
    return [FrontPoint(standing=row, dominated_by=tuple(beaten[i])) for i, row in enumerate(rows)]


def _cells(cells: pd.DataFrame, row: Standing) -> pd.DataFrame:
    columns = [PAIR, "epochs", "group_id", "test_accuracy", *itertools.chain(*RATIOS.values())]
    return cells[[name for name in columns if name in cells]].assign(recipe=f"{row.recipe} at {row.batch_size}")


def _pairs(rows: Sequence[Standing], by: Collection[Axis]) -> list[tuple[int, int]]:
    """Return which points are compared: all, or each with those that no other point beats in the means."""
    pairs = list(itertools.combinations(range(len(rows)), 2))
    if len(rows) <= COMPARED:
        return pairs
    means = np.array([[_mean(row, axis) for axis in by] for row in rows])  # (points, axes); NaN: not measured
    no_worse = [((means >= own) | np.isnan(means - own)).all(axis=1) for own in means]
    first = [i for i, own in enumerate(means) if not (no_worse[i] & (means > own).any(axis=1)).any()]
    first.sort(key=lambda i: tuple(means[i]))
    most = max(FEWEST_RIVALS, MOST_COMPARISONS // len(rows))
    places = np.linspace(0, len(first) - 1, min(most, len(first))).round().astype(int)
    rivals = {first[place] for place in places}
    return [pair for pair in pairs if not rivals.isdisjoint(pair)]


def _mean(row: Standing, axis: Axis) -> float:
    """Return what a recipe reached, the greater the better; NaN where it was not measured."""
    measured = row.measured
    found = {
        "speed": measured.images_per_s,
        "memory": None if measured.peak_mib is None else -measured.peak_mib,
        "energy": None if measured.joules_per_image is None else -measured.joules_per_image,
        "accuracy": measured.test_accuracy,
    }[axis]
    return math.nan if found is None else found


def _dominates(told: list[Told]) -> bool:
    """Whether the second of two is better in something and no worse in anything, for what `told` says of it."""
    return "better" in told and set(told) <= {"better", "same"}


def _turned(told: Told) -> Told:
    opposite: dict[Told, Told] = {"better": "worse", "worse": "better"}
    return opposite.get(told, told)


def _effect(a: pd.DataFrame, b: pd.DataFrame, column: str, instrument: str) -> Effect | None:
    """Return the effect on log(b / a): over pairs where there are two, else over all processes; None if unknown."""
    if column not in a or positive(a[column]).empty or positive(b[column]).empty:
        return None
    if instrument and len({*a[instrument].dropna(), *b[instrument].dropna()}) > 1:
        return None
    of_a, of_b = (str(one["recipe"].iloc[0]) for one in (a, b))
    ratios = log_ratios(pd.concat([a, b]), of_a, of_b, column)
    if len(ratios) > 1:
        return effect.paired(ratios)
    return effect.unpaired(*(list(np.log(positive(one[column]))) for one in (a, b)))


def _judged(effects: dict[tuple[int, int], Effect | None]) -> Iterator[tuple[tuple[int, int], Told]]:
    """Judge all ratios of one column as one family."""
    known = {pair: found for pair, found in effects.items() if found is not None}
    family = Family(name="the Pareto front", effects=tuple(known.values()), least_variance=(LEAST_SD**2,) * len(known))
    alphas = family.alphas(lambda one: one.p_difference)
    for pair, shrunken, alpha in zip(known, family.shrunken, alphas, strict=True):
        words: dict[str, Told] = {"faster": "better", "slower": "worse", "same": "same"}
        yield pair, words.get(statistics.judge_ratio(shrunken, alpha).verdict, "open")


def _memory(a: pd.DataFrame, b: pd.DataFrame) -> list[Told]:
    if len({*a[INSTRUMENT].dropna(), *b[INSTRUMENT].dropna()}) > 1:
        return []
    told = apart(positive(b[PEAK]), positive(a[PEAK]))
    return [told] if told is not None else []


def _accuracies(
    own: dict[int, pd.DataFrame], pairs: list[tuple[int, int]], margin: float
) -> Iterator[tuple[tuple[int, int], Told]]:
    """Judge all accuracies as one family; of a pair that was not trained in both, nothing is said."""
    effects: dict[tuple[int, int], Effect] = {}
    for i, j in pairs:
        trained = [one[one["epochs"] > 0] for one in (own[i], own[j])]
        points = [list(100 * one["test_accuracy"].dropna()) for one in trained]
        if not all(points):
            continue
        of_a, of_b = (str(one["recipe"].iloc[0]) for one in trained)
        paired = point_differences(pd.concat(trained), of_a, of_b)
        effects[i, j] = effect.paired(paired) if len(paired) > 1 else effect.unpaired(*points)
    family = Family(name="the Pareto front", effects=tuple(effects.values()))
    differences = family.alphas(lambda one: one.p_difference)
    equivalences = family.alphas(lambda one: one.p_equivalence(margin))
    for k, (pair, shrunken) in enumerate(zip(effects, family.shrunken, strict=True)):
        found = statistics.judge_difference(
            shrunken, margin=margin, alpha_equivalence=equivalences[k], alpha_difference=differences[k]
        )
        words: dict[str, Told] = {"better": "better", "worse": "worse", "equivalent": "same"}
        yield pair, words.get(found.verdict, "open") if not math.isnan(found.estimate) else "open"
