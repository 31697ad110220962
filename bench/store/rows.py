"""The rows that a run adds to each joined table, all of one attempt at its cell.

They are those of the bundle, or of the Parquet files where there is none. Where two workers wrote into one folder at
once, since locks do not work on its file system, the record may be of one and the bundle of the other: then the bundle
counts, since it was written as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.atomic import MAGIC
from ampbench.bench.store.bundle import read_bundle
from ampbench.bench.store.names import refuse_other_names, results_of
from ampbench.bench.store.record import ATTEMPT
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.files import table_file

ROWS_AT_ONCE = 2**17
"""A table of more rows is read in parts: a long training has millions of steps."""


class Damaged(ValueError):
    """A file of a run cannot be read, or belongs to another run; the message says why."""


@dataclass(kw_only=True, slots=True)
class Rows:
    """Of one run, under today's columns."""

    tables: dict[str, Iterable[pa.RecordBatch]]
    cell_s: float | None
    """How long the cell took, in s."""
    damaged: dict[Path, str] = field(default_factory=dict)
    """Files that were left out, and why."""


def rows_of(record: Path, cell_id: str) -> Rows:
    """Return the rows of a run. New columns are null where an older version wrote it, dropped ones are left out.

    Raises:
        Damaged: the record cannot be read, or is that of another cell.
        RequestError: a file's columns have the names of another version.
    """
    try:
        content = record.read_bytes()
    except OSError as e:
        raise Damaged(f"cannot be read: {e.strerror}") from None
    if not content.startswith(MAGIC) or not content.endswith(MAGIC):  # as `Folder.done` judges
        raise Damaged("is cut short or no Parquet file")
    cells, attempt, bundled = _source(record, content, cell_id)
    if cells["cell_id"][0].as_py() != cell_id:
        raise Damaged("holds rows of another cell")
    rows = Rows(tables={"cells": [cells]}, cell_s=cells["cell_s"][0].as_py())
    for table in TABLES:
        if table == "cells" or (bundled and table not in bundled):
            continue
        if (batch := bundled.get(table)) is not None:
            rows.tables[table] = [batch]
            continue
        path = record.with_name(table_file(table))
        try:
            rows.tables[table] = _trace(path, table, cell_id, attempt)
        except FileNotFoundError:
            if _must_have(table, cells):
                rows.damaged[path] = "is not there"
        except Damaged as e:
            rows.damaged[path] = str(e)
    return rows


def _source(
    record: Path, content: bytes, cell_id: str
) -> tuple[pa.RecordBatch, bytes | None, Mapping[str, pa.RecordBatch | None]]:
    """Return the row of a run, the attempt at it, and the tables of its bundle; none where that does not count."""
    bundle = read_bundle(record.parent, content)
    bundled = bundle.tables.get("cells") if bundle else None
    if bundle and bundled is not None and bundle.is_of_record:
        return bundled, bundle.attempt, bundle.tables
    cells, attempt = _record(record, content, cell_id)
    is_same_cell = bundled is not None and bundled["cell_id"][0].as_py() == cell_id
    if bundle and is_same_cell and attempt not in (None, bundle.attempt):
        return bundled, bundle.attempt, bundle.tables
    return cells, attempt, {}


def _record(path: Path, content: bytes, cell_id: str) -> tuple[pa.RecordBatch, bytes | None]:
    """Return the row of a record, and the attempt that it names; older versions named none."""
    found = [*_batches(path, "cells", cell_id, None, pa.BufferReader(content))]
    num_rows = sum(len(batch) for batch in found)
    if num_rows != 1:
        raise Damaged(f"holds {num_rows} rows instead of one")
    return found[0], (pq.read_schema(pa.BufferReader(content)).metadata or {}).get(ATTEMPT)


def _trace(path: Path, table: str, cell_id: str, attempt: bytes | None) -> Iterable[pa.RecordBatch]:
    """Return the rows of a trace after all of them were read once: of a damaged file not one is taken."""
    kept: list[pa.RecordBatch] = []
    num_rows = 0
    for batch in _batches(path, table, cell_id, attempt):
        num_rows += len(batch)
        kept = [*kept, batch] if num_rows <= ROWS_AT_ONCE else []
    return kept if num_rows <= ROWS_AT_ONCE else _batches(path, table, cell_id, attempt)


def _batches(
    path: Path, table: str, cell_id: str, attempt: bytes | None, content: pa.BufferReader | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a file of a run; an attempt that either file does not name is not compared.

    Raises:
        FileNotFoundError: there is none.
        Damaged: it cannot be read, or its rows are not those of this attempt at this cell.
        RequestError: its columns have the names of another version.
    """
    try:
        with pq.ParquetFile(path if content is None else content) as file:
            found = file.schema_arrow
            refuse_other_names(results_of(path.parent), table, found)
            if attempt and (found.metadata or {}).get(ATTEMPT, attempt) != attempt:
                raise Damaged("is of another attempt at this cell than its record")
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
                yield _conformed(batch, table, cell_id)
    except (RequestError, FileNotFoundError, Damaged):
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as e:
        reason = (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(". ")
        raise Damaged(f"cannot be read: {reason}") from None


def _conformed(batch: pa.RecordBatch, table: str, cell_id: str) -> pa.RecordBatch:
    columns = schema(table)
    found = dict(zip(batch.schema.names, batch.columns, strict=True))
    if set(found["cell_id"].unique().to_pylist()) - {cell_id}:
        raise Damaged("holds rows of another cell")
    arrays = [
        pa.nulls(len(batch), f.type)
        if f.name not in found
        else found[f.name] if found[f.name].type == f.type else found[f.name].cast(f.type)
        for f in columns
    ]  # fmt: skip
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def _must_have(table: str, cells: pa.RecordBatch) -> bool:
    """Whether a cell that ran to its end must have rows in a table."""
    [cell] = cells.select(["status", "epochs"]).to_pylist()
    return bool(cell["status"] == "ok" and (table in ("steps", "blocks") or (table == "epochs" and cell["epochs"])))
