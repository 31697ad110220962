"""A diagnosis of one run: what is wrong with it, the rows that show it, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "diverged",
    "learned nothing",
    "swings",
    "broke down",
    "loss grew",
    "lost updates",
    "starved",
    "launch-bound",
    "memory growing",
    "throttled",
]
"""What a run may suffer from, the worst first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The rows and columns of a table that a diagnosis rests on."""

    table: str
    """Stem of its file: `epochs` is epochs.parquet."""
    columns: tuple[str, ...]
    first: int | None = None
    """Epoch or step of the first row; None: the run's only row, or all of its rows."""
    last: int | None = None
    """Epoch or step of the last row."""

    def __str__(self) -> str:
        where = ""
        if self.first is not None:
            where = f" {self.first}" if self.last in (None, self.first) else f" {self.first} to {self.last}"
        return f"{self.table}{where}: {', '.join(self.columns)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """One thing that is wrong with a run."""

    kind: Kind
    sentence: str
    """In words, without the run's name and without a full stop."""
    rows: tuple[Rows, ...]
    """What it rests on."""
    next_move: str
    """The first thing to try, without a full stop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """What one run left on disk, as far as a diagnosis reads it."""

    cell: Mapping[str, Any]
    """Its row of `cells`; what is null, NaN or not there was not measured."""
    epochs: Sequence[Mapping[str, Any]] = ()
    """Its rows of `epochs`, in order."""
    unmoved_share: float | None = None
    """Of all weights with a gradient, those that a step left unchanged in the last sample of the numerics probe."""
    unmoved_step: int | None = None
    """Steps taken before that sample."""

    def of(self, column: str) -> Any:
        """Return a value of the cell; None if it was not measured, or is an infinite number."""
        value = _known(self.cell.get(column))
        return None if isinstance(value, float) and math.isinf(value) else value

    def count(self, column: str) -> int | None:
        """Return a number of things, 1 or more; None if it was not measured."""
        value = self.of(column)
        return int(value) if value is not None and value >= 1 else None

    def curve(self, column: str) -> tuple[list[int], list[float]]:
        """Return the epochs in which a column is known, and its values there."""
        known = [(_known(row.get("epoch")), _known(row.get(column))) for row in self.epochs]
        kept = [
            (int(epoch), float(value))
            for epoch, value in known
            if epoch is not None and math.isfinite(epoch) and value is not None
        ]
        return [epoch for epoch, _ in kept], [value for _, value in kept]

    def rates_at(self, epochs: Sequence[int]) -> list[float]:
        """Return the learning rates of these epochs; none at all if one is unknown."""
        known = dict(zip(*self.curve("learning_rate"), strict=True))
        return [known[epoch] for epoch in epochs] if all(epoch in known for epoch in epochs) else []


def _known(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and math.isnan(value)) or value != value else value
