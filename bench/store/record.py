"""The files of a run's folder, each written atomically, the record last: its existence means *done*."""

from __future__ import annotations

import dataclasses
import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.names import refuse_other_names, results_of
from ampbench.bench.store.tables import schema
from ampbench.schema.cells import CellRecord
from ampbench.schema.column import values_of
from ampbench.schema.files import RECORD, table_file
from ampbench.schema.identity import Ending, Identity
from ampbench.schema.traces import Traces

ROOM = ".room"
"""In the folder of a running cell: a file that is deleted to make room for the record."""

ROOM_BYTES = 4 * 2**20


@contextmanager
def room_for_record(folder: Path) -> Iterator[None]:
    """Reserve disk space for the record while a cell is measured: a disk that fills up meanwhile costs no result.

    Raises:
        OSError: the disk is full already, before anything was measured.
    """
    with (folder / ROOM).open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
        except OSError as e:
            if e.errno in (errno.ENOSPC, errno.EDQUOT):  # else there is no fallocate, or a limit of a file's size
                raise
    try:
        yield
    finally:
        (folder / ROOM).unlink(missing_ok=True)


def identity_of(cell: Cell) -> Identity:
    """Return what identifies a cell in its row besides the settings themselves."""
    return Identity(
        cell_id=cell.cell_id,
        group_id=cell.group_id,
        global_batch_size=cell.global_batch_size,
        study_name=cell.study_name,
        run_folder=cell.run_folder,
        weights_dtype=cell.precision.weights,
        compute_dtype=cell.precision.compute,
        update="master" if cell.precision.master_weights else cell.precision.rounding,
        keep_fp32=" ".join(cell.precision.keep_fp32) or None,
    )


def excluded_table(cells: Sequence[tuple[Cell, str]]) -> pa.Table:
    """Return the rows of cells that are not run, each with the reason."""
    rows = []
    for cell, because in cells:
        identity = dataclasses.replace(identity_of(cell), run_folder=None)
        rows.append(values_of(identity) | cell.settings | values_of(Ending(status="excluded", because=because)))
    return pa.Table.from_pylist(rows, schema=schema("cells"))


class Damaged(ValueError):
    """A file of a run cannot be read, or belongs to another run; the message says why."""


def read_run(path: Path, table: str, cell_id: str) -> pa.Table:
    """Read a file of a run under today's columns of `table`: new columns are null, dropped columns are left out.

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


def write_run(folder: Path, cell: Cell, record: CellRecord, traces: Traces) -> None:
    """Write the traces of a run, and then its record.

    An error in one column does not lose the others: a column whose values do not fit is null, and `passes_failed` names
    it and the reason.

    Raises:
        OSError: a file cannot be written.
    """
    (folder / ROOM).unlink(missing_ok=True)
    failed: list[str] = []
    for name, rows in traces.tables.items():
        values = [{"cell_id": cell.cell_id, **values_of(row)} for row in rows]
        write_table(folder / table_file(name), _conformed(name, values, failed))
    row = values_of(identity_of(cell)) | cell.settings | record.values
    table = _conformed("cells", [row], failed)
    if failed:
        print(*failed, sep="\n", file=sys.stderr)
        row["passes_failed"] = "; ".join([*filter(None, [row["passes_failed"]]), *failed])
        table = _conformed("cells", [row], [])
    write_table(folder / RECORD, table)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table through a temporary name."""
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _conformed(name: str, rows: Sequence[Mapping[str, Any]], failed: list[str]) -> pa.Table:
    """Return rows as the table `name`; a column whose values do not fit is null, and `failed` gets the reason."""
    columns = schema(name)
    arrays = {}
    for column in columns:
        try:
            arrays[column.name] = pa.array([_writable(row[column.name]) for row in rows], column.type)
        except Exception as e:
            failed.append(f"no {column.name} in {name}: {type(e).__name__}: {e}")
            arrays[column.name] = pa.nulls(len(rows), column.type)
    return pa.table(arrays, schema=columns)


def _writable(value: Any) -> Any:
    """Return a value that Arrow accepts: a lone surrogate, which an exception's message may contain, is escaped."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
