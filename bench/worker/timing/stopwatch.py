"""The wall time of a cell by its parts, over all processes in which its training was resumed."""

from __future__ import annotations

import time
from dataclasses import replace

from ampbench.schema.speed import WallTime


class Stopwatch:
    """Adds up seconds. A part that a cell does not have is None, which is null in its row and not 0."""

    def __init__(self) -> None:
        self.started_s = time.perf_counter()
        """When the cell began; moved back by the time of the earlier processes."""
        self._so_far = WallTime()

    def start_training(self) -> None:
        """Record the time so far as start-up."""
        self._so_far = replace(self._so_far, startup_s=self.cell_s, train_s=0.0, num_resumes=0)

    def add(
        self,
        *,
        train_s: float | None = None,
        compile_s: float | None = None,
        evaluation_s: float | None = None,
        numerics_probe_s: float | None = None,
        checkpoint_s: float | None = None,
        start_steps_s: float | None = None,
        passes_s: float | None = None,
    ) -> None:
        """Add seconds to the parts."""
        past = self._so_far
        self._so_far = replace(
            past,
            train_s=_sum(past.train_s, train_s),
            compile_s=_sum(past.compile_s, compile_s),
            evaluation_s=_sum(past.evaluation_s, evaluation_s),
            numerics_probe_s=_sum(past.numerics_probe_s, numerics_probe_s),
            checkpoint_s=_sum(past.checkpoint_s, checkpoint_s),
            start_steps_s=_sum(past.start_steps_s, start_steps_s),
            passes_s=_sum(past.passes_s, passes_s),
        )

    def resume(self, earlier: WallTime) -> None:
        """Continue from an earlier process: its start-up stays; the time of this one so far counts only in `cell_s`."""
        self.started_s -= earlier.cell_s or 0.0
        self._so_far = replace(earlier, num_resumes=(earlier.num_resumes or 0) + 1)

    @property
    def train_s(self) -> float:
        """Seconds of all steps except those in which the compiler worked."""
        return self._so_far.train_s or 0.0

    @property
    def cell_s(self) -> float:
        """Seconds since the first line of the first process."""
        return time.perf_counter() - self.started_s

    @property
    def wall_time(self) -> WallTime:
        """The record's columns of wall time."""
        return replace(self._so_far, cell_s=self.cell_s)


def _sum(before: float | None, more: float | None) -> float | None:
    return before if more is None else (before or 0.0) + more
