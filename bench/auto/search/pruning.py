"""When a trial may end early: bars that follow from the trials before it, decided before it starts.

`median` is the median stopping rule (Golovin et al., 2017, "Google Vizier"), as Optuna's MedianPruner has it.
`halving` is successive halving without waiting for others (Li et al., 2020, "A system for massively parallel
hyperparameter tuning"): at the epochs E/3, E/9, … of E, a trial goes on if it is among the best third so far.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

from ampbench.bench.auto.search.history import History
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.pruning import Pruning
from ampbench.bench.plan.search import Search
from ampbench.schema.search import SearchRecord

STARTUP = 5
"""Finished trials before any is judged by their median, as in Optuna."""
REDUCTION = 3
"""Of successive halving: one in so many goes on."""


def prunings(
    search: Search, record: SearchRecord, history: History, cells: Sequence[Cell]
) -> Iterator[tuple[str, Pruning]]:
    """Yield cell id and bars of the trials among cells, from the batches before theirs.

    Args:
        search: its settings.
        record: of all trials so far.
        history: what became of them.
        cells: that are to be run.
    """
    wanted = {cell.cell_id: cell for cell in cells}
    for trial in record.trials:
        if trial.cell_id not in wanted:
            continue
        first = trial.number - trial.number % search.settings.parallel
        before = [one for one in record.of(trial.study) if one.number < first]
        courses = [(history.values.get(one.cell_id), history.courses.get(one.cell_id, {})) for one in before]
        bars = pruning_of(
            search,
            finished=[course for value, course in courses if course and value is not None],
            others=[course for value, course in courses if course and value is None],
            epochs=wanted[trial.cell_id].epochs,
        )
        if bars:
            yield trial.cell_id, bars


def pruning_of(
    search: Search, *, finished: Sequence[Mapping[int, float]], others: Sequence[Mapping[int, float]], epochs: int
) -> Pruning | None:
    """Return the bars of a trial; None if it is not to end early.

    Args:
        search: its pruner and objective.
        finished: courses (epoch -> the objective) of the earlier trials that ran to their end.
        others: those of the earlier trials that ended before, as pruned ones.
        epochs: of the trial.
    """
    if search.pruner == "median" and len(finished) >= STARTUP:
        bars = _medians(finished, epochs)
        because = f"the median of {len(finished)} finished trials"
    elif search.pruner == "halving":
        bars = _rungs([*finished, *others], epochs, greater_is_better=search.greater_is_better)
        because = f"the best third of the trials that came so far: 1 in {REDUCTION} goes on"
    else:
        return None
    if not bars:
        return None
    objective = search.settings.objective
    return Pruning(
        objective=objective, greater_is_better=search.greater_is_better, bars=tuple(bars.items()), because=because
    )


def rungs(epochs: int) -> list[int]:
    """Return the epochs of successive halving, ascending; none after which nothing would be left to train."""
    found, rung = set(), epochs / REDUCTION
    while rung >= 1:
        found.add(int(rung))
        rung /= REDUCTION
    return sorted(found)


def _medians(finished: Sequence[Mapping[int, float]], epochs: int) -> dict[int, float]:
    """The first fifth of the epochs is spared: there a high learning rate looks worse than it is."""
    bars = {}
    for epoch in range(max(1, epochs // 5), epochs):
        values = [course[epoch] for course in finished if epoch in course]
        if values:
            bars[epoch] = statistics.median(values)
    return bars


def _rungs(courses: Sequence[Mapping[int, float]], epochs: int, *, greater_is_better: bool) -> dict[int, float]:
    """Return the value that a trial must have to be among the best third at a rung, itself included."""
    bars = {}
    for epoch in rungs(epochs):
        best = [
            (max if greater_is_better else min)(value for at, value in course.items() if at <= epoch)
            for course in courses
            if any(at <= epoch for at in course) and max(course) >= epoch
        ]
        if len(best) >= REDUCTION:
            keep = (len(best) + 1) // REDUCTION
            bars[epoch] = sorted(best, reverse=greater_is_better)[keep - 1]
    return bars
