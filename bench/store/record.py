"""A run's folder: what a worker writes, atomically, the record last. Its existence means *done*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.plan.cell import Cell
from bench.store.atomic import RECORD, replacing
from bench.store.columns import schema


def cell_row(cell: Cell, **measured: Any) -> dict[str, Any]:
    """Return a row of `cells`: what the cell says of itself, and what was measured."""
    return {
        "cell_id": cell.cell_id,
        "group_id": cell.group_id,
        "global_batch_size": cell.global_batch_size,
        "study_name": cell.study_name,
        "run_folder": cell.run_folder,
        "weights_dtype": cell.precision.weights,
        "compute_dtype": cell.precision.compute,
        "update": "master" if cell.precision.master_weights else cell.precision.rounding,
        **cell.settings,
        **measured,
    }


def write_run(
    folder: Path, cell: Cell, row: Mapping[str, Any], traces: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Write the traces (`epochs`, `steps`, `blocks`) of a run, and then its record.

    Raises:
        ValueError: a row has a column that `bench.store.columns` does not know.
    """
    for table, rows in traces.items():
        write_parquet(folder / f"{table}.parquet", table, [{"cell_id": cell.cell_id, **r} for r in rows])
    write_parquet(folder / RECORD, "cells", [cell_row(cell, **row)])


def write_parquet(path: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under a table's schema, through a temporary name; absent columns are null."""
    columns = schema(table)
    unknown = {key for row in rows[:1] for key in row} - set(columns.names)
    if unknown:
        raise ValueError(f"{path.name}: columns {sorted(unknown)} are not in bench/store/columns/; add them there")
    arrays = {name: [row.get(name) for row in rows] for name in columns.names}
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_pydict(arrays, schema=columns), partial, compression="zstd")
