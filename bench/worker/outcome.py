"""The results of a cell so far: its columns, its traces, the time spent on it, and what failed.

It is filled step by step, so that an early end keeps earlier results. A checkpoint contains it, so that a resumed
training has all of them.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ampbench.bench.train.statuses import Interrupted
from ampbench.bench.worker.exception_text import first_line
from ampbench.bench.worker.timing.stopwatch import Stopwatch
from ampbench.schema.cells import Measured
from ampbench.schema.column import values_of
from ampbench.schema.speed import WallTime
from ampbench.schema.traces import ROWS, Traces

T = TypeVar("T")


@dataclass
class Outcome:
    """The results of one cell."""

    measured: Measured = field(default_factory=Measured)
    traces: Traces = field(default_factory=Traces)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    trained: bool = False
    """Whether all timed steps are over: later errors change none of their results."""

    def attempt(self, what: str, work: Callable[[], T]) -> T | None:
        """Return the result of a call that may fail in any way, even by ending the process; if it fails, None.

        Raises:
            Interrupted: the user ends the process.
        """
        try:
            return work()
        except Interrupted:
            raise
        except BaseException as e:
            self.note_failure(what, e)
            return None

    def note_failure(self, what: str, error: BaseException) -> None:
        """Add to the column `passes_failed` what is missing and why, in a line, and print it to the log."""
        said = f"no {what}: {type(error).__name__}: {first_line(error)}"
        print(said, file=sys.stderr)
        before = self.measured.notes.passes_failed
        if said not in (before or ""):
            both = f"{before}; {said}" if before else said
            self.measured.notes = replace(self.measured.notes, passes_failed=both)

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        tables = self.traces.tables.items()
        return {
            "measured": {group: values_of(values) for group, values in values_of(self.measured).items()},
            "traces": {table: [values_of(row) for row in rows] for table, rows in tables},
            "wall_time": values_of(self.stopwatch.wall_time),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the results of an earlier process of the same training."""
        groups = typing.get_type_hints(Measured)
        self.measured = Measured(**{name: groups[name](**values) for name, values in state["measured"].items()})
        self.traces = Traces(**{table: [ROWS[table](**row) for row in rows] for table, rows in state["traces"].items()})
        self.stopwatch.resume(WallTime(**state["wall_time"]))
