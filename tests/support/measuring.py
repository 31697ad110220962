"""Records and traces as plain tables: what a measurement found, by column, and records made of columns."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ampbench.schema.cells import CellRecord, Measured
from ampbench.schema.column import values_of
from ampbench.schema.identity import Ending, Start
from ampbench.schema.provenance import Provenance
from ampbench.schema.traces import ROWS, Traces

if TYPE_CHECKING:  # it imports torch, and many runs are made without
    from ampbench.bench.worker.measurement import Measurement


def row_of(measurement: Measurement) -> dict[str, Any]:
    """Return column -> value of a record; None where it is not known."""
    outcome = measurement.outcome
    outcome.measured.wall_time = outcome.stopwatch.wall_time
    return {name: value for group in values_of(outcome.measured).values() for name, value in values_of(group).items()}


def plain(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return rows of a trace as dictionaries."""
    return [values_of(row) for row in rows]


def record_of(columns: Mapping[str, Any]) -> CellRecord:
    """Return the record with these columns."""
    left = {"status": "ok", **columns}
    groups = {name: _taken(kind, left) for name, kind in typing.get_type_hints(Measured).items()}
    ending, start, origin = (_taken(kind, left) for kind in (Ending, Start, Provenance))
    assert not left, f"no columns of a record: {left}"
    return CellRecord(ending=ending, start=start, provenance=origin, measured=Measured(**groups))


def traces_of(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Traces:
    """Return traces with these rows; missing columns are None."""
    made: dict[str, Any] = {}
    for table, rows in tables.items():
        lacking = dict.fromkeys(f.name for f in dataclasses.fields(ROWS[table]))
        made[table] = [ROWS[table](**lacking | row) for row in rows]
    return Traces(**made)


def _taken(kind: type, left: dict[str, Any]) -> Any:
    return kind(**{f.name: left.pop(f.name) for f in dataclasses.fields(kind) if f.name in left})
