"""A run's folder: what a worker writes, atomically, the record last. Its existence means *done*."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.atomic import RECORD, replacing
from ampbench.bench.store.names import refuse_other_names, results_of
from ampbench.bench.store.tables import schema

ROOM = ".room"
"""In the folder of a run that is going on: a file that gives its place to the record."""

ROOM_BYTES = 4 * 2**20


@contextmanager
def room_for_record(folder: Path) -> Iterator[None]:
    """Hold some disk for the record while a cell is measured: a disk that fills up meanwhile takes no result.

    Raises:
        OSError: the disk is full already, before anything was measured.
    """
    with (folder / ROOM).open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):  # else the file system cannot, or files may not be so large
                raise
    try:
        yield
    finally:
        (folder / ROOM).unlink(missing_ok=True)


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


class Damaged(ValueError):
    """A file of a run cannot be read, or is of another run; the message says why."""


def read_run(path: Path, table: str, cell_id: str) -> pa.Table:
    """Read a file of a run under today's columns of `table`: new ones are null, dropped ones go.

    Raises:
        Damaged: it cannot be read, or its rows are not those of this cell.
        RequestError: its columns have the names of another version.
    """
    columns = schema(table)
    try:
        found = pq.read_table(path)
        refuse_other_names(results_of(path.parent), table, found.schema)
        ids = set(found["cell_id"].to_pylist())
        arrays = [
            found[f.name].cast(f.type) if f.name in found.column_names else pa.nulls(len(found), f.type)
            for f in columns
        ]
        conformed = pa.Table.from_arrays(arrays, schema=columns)
    except RequestError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as e:
        reason = (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(". ")
        raise Damaged(f"cannot be read: {reason}") from None
    if ids - {cell_id} or (table == "cells" and len(found) != 1):
        raise Damaged("holds rows of another cell" if ids - {cell_id} else f"holds {len(found)} rows instead of one")
    return conformed


def write_run(
    folder: Path, cell: Cell, row: Mapping[str, Any], traces: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Write the traces (`epochs`, `steps`, `blocks`) of a run, and then its record.

    Raises:
        ValueError: a row has a column that `schema` does not know.
        OSError: it cannot be written.
    """
    (folder / ROOM).unlink(missing_ok=True)
    for table, rows in traces.items():
        write_parquet(folder / f"{table}.parquet", table, [{"cell_id": cell.cell_id, **r} for r in rows])
    write_parquet(folder / RECORD, "cells", [cell_row(cell, **row)])


def write_parquet(path: Path, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows under a table's schema, through a temporary name; absent columns are null."""
    columns = schema(table)
    unknown = {key for row in rows[:1] for key in row} - set(columns.names)
    if unknown:
        raise ValueError(f"{path.name}: columns {sorted(unknown)} are not in ampbench/schema/; add them there")
    arrays = {name: [_writable(row.get(name)) for row in rows] for name in columns.names}
    with replacing(path) as partial:
        pq.write_table(pa.Table.from_pydict(arrays, schema=columns), partial, compression="zstd")


def _writable(value: Any) -> Any:
    """Return a value that Arrow takes: half a character, as an exception's words may hold, is written out."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
