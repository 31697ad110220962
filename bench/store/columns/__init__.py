"""Every column that is ever written: its type, unit, label and meaning, in one table per file.

A measurement that is missing is null, never 0 or -1.
"""

from __future__ import annotations

import dataclasses
import functools
import typing

import pyarrow as pa

from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.columns.accuracy import ACCURACY
from ampbench.bench.store.columns.board import BOARD, BOARD_STATE
from ampbench.bench.store.columns.column import FLAG, INT, REAL, TEXT, Column
from ampbench.bench.store.columns.memory import MEMORY
from ampbench.bench.store.columns.memory_history import ALLOCATIONS, MEMORY_TIMELINE, STATIC_SPLIT
from ampbench.bench.store.columns.origin import ORIGIN
from ampbench.bench.store.columns.precision import PRECISION
from ampbench.bench.store.columns.speed import SPEED
from ampbench.bench.store.columns.traces import BLOCKS, EPOCHS, EXPONENTS, ID, LAYERS, STEPS
from ampbench.bench.store.columns.work import WORK

METHOD_VERSION = 4
"""Raised whenever a number is taken differently, so that old rows are not compared in silence."""

STATUSES = (
    "ok",
    "oom",
    "diverged",
    "timeout",
    "unsupported",
    "throttled",
    "crashed",
    "failed",
    "excluded",
)


def _meaning(name: str) -> str:
    return f"`Cell.{name}` as it ran"


def _settings() -> tuple[Column, ...]:
    """Return a column for every field of `Cell`, its type read from the annotation."""
    hints = typing.get_type_hints(Cell)
    types = {int: INT, float: REAL, bool: FLAG}
    columns = []
    for f in dataclasses.fields(Cell):
        kind = hints[f.name]
        listed = typing.get_origin(kind) is tuple
        element = typing.get_args(kind)[0] if listed else kind
        base = types.get(element, TEXT)
        columns.append(
            Column(f.name, pa.list_(base) if listed else base, "", f.name.replace("_", " "), _meaning(f.name))
        )
    return tuple(columns)


CELLS: tuple[Column, ...] = (
    ID,
    Column("group_id", TEXT, "", "group", "The same for cells that differ only in precision and round"),
    Column("status", TEXT, "", "status", f"One of {' '.join(STATUSES)}"),
    Column("because", TEXT, "", "because", "Why the status is not ok, in words; null when it is"),
    *_settings(),
    Column("global_batch_size", INT, "", "global batch size", "Images a step, on all GPUs of the cell together"),
    Column("study_name", TEXT, "", "S3 name", "Name of the run in study S3"),
    Column("run_folder", TEXT, "", "folder", "Below runs/; null for an excluded cell"),
    *PRECISION,
    *SPEED,
    *WORK,
    *MEMORY,
    *STATIC_SPLIT,
    *BOARD_STATE,
    *ACCURACY,
    *ORIGIN,
)

TABLES: dict[str, tuple[Column, ...]] = {
    "cells": CELLS,
    "epochs": EPOCHS,
    "steps": STEPS,
    "blocks": BLOCKS,
    "board": BOARD,
    "allocations": ALLOCATIONS,
    "memory": MEMORY_TIMELINE,
    "layers": LAYERS,
    "exponents": EXPONENTS,
}
"""Stem of the joined file -> its columns. In a run's folder `cells` has one row and is called `record`."""


@functools.cache
def schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table."""
    return pa.schema([column.field for column in TABLES[table]])
