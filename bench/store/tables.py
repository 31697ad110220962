"""The Arrow schemas of the tables: every column has its unit, label and meaning in its metadata.

A missing measurement is null, never 0 or -1.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from datetime import datetime

import pyarrow as pa

from ampbench.bench.plan.cell import Cell
from ampbench.schema.cells import MEASURED
from ampbench.schema.column import Column, columns_of, given
from ampbench.schema.identity import Ending, Identity, Start
from ampbench.schema.provenance import Provenance
from ampbench.schema.renames import KEY
from ampbench.schema.traces import ROWS
from ampbench.schema.version import COLUMNS_VERSION

TYPES: dict[tuple[type, int], pa.DataType] = {
    (str, 64): pa.string(),
    (int, 64): pa.int64(),
    (float, 64): pa.float64(),
    (float, 32): pa.float32(),
    (bool, 64): pa.bool_(),
    (datetime, 64): pa.timestamp("ms", tz="UTC"),
}


def settings() -> tuple[Column, ...]:
    """Return a column for every field of `Cell`, its type taken from the annotation; what is not a number is text."""
    hints = typing.get_type_hints(Cell)
    columns = []
    for f in dataclasses.fields(Cell):
        listed = typing.get_origin(hints[f.name]) is tuple
        kind = typing.get_args(hints[f.name])[0] if listed else hints[f.name]
        plain = kind if kind in (int, float, bool) else str
        label, meaning = f.name.replace("_", " "), f"`Cell.{f.name}` as it ran"
        columns.append(Column(f.name, plain, "", label, meaning, listed=listed))
    return tuple(columns)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class OfCell:
    """The first column of every table of a run."""

    cell_id: str = given("", "cell", "Hash of the cell's fields that differ from their default")


TABLES: dict[str, tuple[Column, ...]] = {
    "cells": (*columns_of(Identity, Ending), *settings(), *columns_of(*MEASURED, Provenance, Start)),
    **{table: columns_of(OfCell, row) for table, row in ROWS.items()},
}
"""Stem of the joined file -> its columns. In a run's folder `cells` has one row, and its file is `record.parquet`."""


@functools.cache
def schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table."""
    return pa.schema([_field(column) for column in TABLES[table]], {KEY: str(COLUMNS_VERSION).encode()})


def _field(column: Column) -> pa.Field:
    kind = arrow_type(column)
    words = {"unit": column.unit, "label": column.label, "meaning": column.meaning}
    return pa.field(column.name, kind, metadata=words)


def arrow_type(column: Column) -> pa.DataType:
    """Return the type of a column in the file."""
    kind = TYPES[column.type, column.bits]
    return pa.list_(kind) if column.listed else kind
