"""Pruning: what a training must have reached at the end of an epoch to go on, decided before it starts.

The launcher writes it into the run's cell.json and the worker compares at the end of an epoch, off the clock; nobody
polls beside the measurement, and a training that is resumed is judged by the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruning:
    """Values that earlier trials had at the end of an epoch."""

    objective: str
    """A column of `epochs`."""
    greater_is_better: bool
    bars: tuple[tuple[int, float], ...]
    """Epoch, from 1 -> what the best epoch so far must not be worse than."""
    because: str
    """Where they come from, as in `the median of 6 trials`."""

    def why_stopped(self, values: Iterable[tuple[int, float | None]], epoch: int) -> str | None:
        """Return why a training ends after an epoch; None if it goes on.

        Args:
            values: epoch -> the objective, of all epochs so far; None where it was not evaluated.
            epoch: that has just ended.
        """
        bar = dict(self.bars).get(epoch)
        seen = [value for _, value in values if value is not None]
        if bar is None or not seen:
            return None
        best = max(seen) if self.greater_is_better else min(seen)
        if best >= bar if self.greater_is_better else best <= bar:
            return None
        words = self.objective.replace("_", " ")
        return f"best {words} {best:.4g} up to epoch {epoch} is worse than {bar:.4g}, {self.because}"

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Pruning:
        """Inverse of `dataclasses.asdict`, after JSON."""
        return cls(**{**plain, "bars": tuple((epoch, value) for epoch, value in plain["bars"])})
