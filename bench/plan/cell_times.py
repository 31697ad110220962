"""How long a cell will take, judged by those that have ended: alike in all that decides it, else by their epochs."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Self

from ampbench.bench.plan.cell import Cell

MOST_REMEMBERED = 99
"""Of a kind, the latest: a median of more says nothing else."""


class CellTimes:
    """Seconds that cells took, and with that what others will take."""

    def __init__(self) -> None:
        self.num_known = 0
        """Number of cells that were told."""
        self._alike: dict[tuple[object, ...], deque[float]] = {}
        self._an_epoch: dict[tuple[object, ...], deque[float]] = {}
        self._medians: dict[int, float] = {}

    @classmethod
    def of(cls, cells: Iterable[Cell], cell_s: Mapping[str, float | None]) -> Self:
        """Return those of the cells that have ended; `cell_s` is cell id -> seconds."""
        times = cls()
        for cell in cells:
            seconds = cell_s.get(cell.cell_id)
            if seconds is not None:
                times.learn(cell, seconds)
        return times

    def learn(self, cell: Cell, seconds: float) -> None:
        """Take in how long a cell took."""
        self.num_known += 1
        self._remember(self._alike, _alike(cell), seconds)
        for kind in _kinds(cell):
            self._remember(self._an_epoch, kind, seconds / _epochs(cell))

    def suppose(self, cell: Cell, seconds: float) -> None:
        """Take in what was expected of a cell before, unless one like it is known."""
        if _alike(cell) not in self._alike:
            self.learn(cell, seconds)

    def expected_s(self, cell: Cell) -> float | None:
        """Return the median of the cells that differ by no more than their seed.

        Where there is none, an epoch is expected to take as long as those of the same model on the same data, else as
        those of any; a timing counts as one epoch. None if nothing is known.
        """
        alike = self._alike.get(_alike(cell))
        if alike:
            return self._median(alike)
        known = next((self._an_epoch[kind] for kind in _kinds(cell) if kind in self._an_epoch), None)
        return None if known is None else _epochs(cell) * self._median(known)

    def _remember(self, kinds: dict[tuple[object, ...], deque[float]], kind: tuple[object, ...], value: float) -> None:
        values = kinds.setdefault(kind, deque(maxlen=MOST_REMEMBERED))
        values.append(value)
        self._medians.pop(id(values), None)

    def _median(self, values: deque[float]) -> float:
        if id(values) not in self._medians:
            self._medians[id(values)] = statistics.median(values)
        return self._medians[id(values)]


def _alike(cell: Cell) -> tuple[object, ...]:
    return (cell.model, cell.data, cell.precision.name, cell.batch_size, cell.epochs, cell.gpus)


def _kinds(cell: Cell) -> tuple[tuple[object, ...], ...]:
    """Return whose epochs tell of this cell's: a timing, which stops by its protocol, tells of other timings first."""
    is_timing = not cell.epochs
    return ((cell.model, cell.data, is_timing), (is_timing,), ())


def _epochs(cell: Cell) -> int:
    return max(1, cell.epochs)
