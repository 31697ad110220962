"""The files of a run's folder, each written atomically, the record last: its existence means *done*."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.bundle import write_bundle
from ampbench.bench.store.tables import schema
from ampbench.schema.cells import CellRecord
from ampbench.schema.column import values_of
from ampbench.schema.files import RECORD, table_file
from ampbench.schema.identity import Ending, Identity
from ampbench.schema.traces import Traces

ATTEMPT = b"ampbench.attempt"
"""Key of a file's own metadata: a random word, the same in all files of a run that one worker wrote."""

AS_ONE_ROW: dict[str, Any] = {"compression": "none", "use_dictionary": False}
"""How a record is written: to compress one value of each of 200 columns takes thrice the time and more bytes."""

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


def write_run(folder: Path, cell: Cell, record: CellRecord, traces: Traces) -> None:
    """Write the traces of a run, its bundle, and then its record.

    An error in one column does not lose the others: a column whose values do not fit is null, and `passes_failed` names
    it and the reason. All files name the same attempt at the cell, which no other worker has: should two workers be in
    one folder, since locks do not work on its file system, then the rows of one never count as those of the other.

    Raises:
        OSError: a file cannot be written.
    """
    (folder / ROOM).unlink(missing_ok=True)
    attempt = secrets.token_hex(8)
    failed: list[str] = []
    tables: dict[str, pa.Table] = {}
    for name, rows in traces.tables.items():
        if not rows:
            (folder / table_file(name)).unlink(missing_ok=True)  # of an earlier attempt
            continue
        values = [{"cell_id": cell.cell_id, **values_of(row)} for row in rows]
        tables[name] = _conformed(name, values, failed)
        write_table(folder / table_file(name), _of_attempt(tables[name], attempt))
    row = values_of(identity_of(cell)) | cell.settings | record.values
    tables["cells"] = _conformed("cells", [row], failed)
    if failed:
        print(*failed, sep="\n", file=sys.stderr)
        row["passes_failed"] = "; ".join([*filter(None, [row["passes_failed"]]), *failed])
        tables["cells"] = _conformed("cells", [row], [])
    content = io.BytesIO()
    pq.write_table(_of_attempt(tables["cells"], attempt), content, **AS_ONE_ROW)
    write_bundle(folder, tables, content.getvalue(), attempt)
    with replacing(folder / RECORD) as partial:
        partial.write_bytes(content.getvalue())


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table through a temporary name."""
    with replacing(path) as partial:
        pq.write_table(table, partial, compression="zstd")


def _of_attempt(table: pa.Table, attempt: str) -> pa.Table:
    return table.replace_schema_metadata({**table.schema.metadata, ATTEMPT: attempt})


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
