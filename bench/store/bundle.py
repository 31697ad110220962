"""The rows of all tables of a run in one file, which the joined tables are made from.

A Parquet file of 200 columns takes 10 ms to open and read, any other 1 ms, and a run has up to nine. A bundle holds the
same rows as bare record batches of Arrow, whose columns are known: about 1 ms for a run with its checksums. A
checksum ties it to the record that it was written with. Without one for today's columns the Parquet files are read,
which are the results.

The first line is JSON: columns, attempt, size and checksum of the record and of the rest, bytes of each table.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.files import BUNDLE

MOST_BYTES = 2**20
"""A larger table is left out: for its many rows, opening its Parquet file is no effort."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """The rows of a run, as one worker wrote them."""

    tables: dict[str, pa.RecordBatch | None]
    """Table -> its rows; None where they are in its Parquet file. A table without rows is not there."""
    attempt: bytes
    """Random word of the worker at this run, which all files of the run name."""
    is_of_record: bool
    """Whether it was written with the record that is there now, byte for byte."""


@functools.cache
def columns() -> str:
    """Return a digest of the names and types of all columns."""
    plain = {table: [(field.name, str(field.type)) for field in schema(table)] for table in TABLES}
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]


def write_bundle(folder: Path, tables: Mapping[str, pa.Table], record: bytes, attempt: str) -> None:
    """Write the bundle of a run.

    Args:
        folder: of the run.
        tables: table -> rows under today's columns, at least one.
        record: content of its record, which is written next.
        attempt: random word of this worker at this run.
    """
    batches = {table: rows.combine_chunks().to_batches()[0] for table, rows in tables.items()}
    parts = {
        table: batch.serialize().to_pybytes() if batch.nbytes <= MOST_BYTES else b"" for table, batch in batches.items()
    }
    body = b"".join(parts.values())
    head = {
        "columns": columns(),
        "attempt": attempt,
        "record": _sum(record),
        "rest": _sum(body),
        "tables": {table: len(part) for table, part in parts.items()},
    }
    with replacing(folder / BUNDLE) as partial:
        partial.write_bytes(json.dumps(head).encode() + b"\n" + body)


def read_bundle(folder: Path, record: bytes) -> Bundle | None:
    """Read the bundle of a run; None if there is none that is whole and of today's columns.

    Args:
        folder: of the run.
        record: content of its record.
    """
    try:
        line, _, body = (folder / BUNDLE).read_bytes().partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        if head["columns"] != columns() or head["rest"] != _sum(body):
            return None
        found: dict[str, pa.RecordBatch | None] = {}
        start, rest = 0, pa.py_buffer(body)
        for table, size in head["tables"].items():
            found[table] = pa.ipc.read_record_batch(rest.slice(start, size), schema(table)) if size else None
            start += size
        attempt = str(head["attempt"]).encode()
        return Bundle(tables=found, attempt=attempt, is_of_record=head["record"] == _sum(record))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, pa.ArrowException):
        return None


def _sum(content: bytes) -> list[int]:
    """Return size and checksum."""
    return [len(content), zlib.crc32(content)]
