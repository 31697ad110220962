"""The runs of a plan, joined: cells.parquet, epochs.parquet, steps.parquet, blocks.parquet.

The joined tables hold exactly the cells of the present plan that have a record, and its excluded cells.
Any number of launchers may join; the last to finish sees everything, so shards need no step of their own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.plan.matrix import Plan
from bench.store.atomic import replacing, write_json
from bench.store.columns import TABLES, schema
from bench.store.folder import STAMP, SUMMARY, Folder
from bench.store.record import cell_row


def join(plan: Plan, folder: Folder) -> bool:
    """Join the runs; return whether anything changed since the last time."""
    with folder.lock():
        done = folder.done(plan.cells)
        stamp = _stamp(plan, done)
        if folder.stamp()["of"] == stamp and (folder.path / "cells.parquet").exists():
            return False
        for table in TABLES:
            with replacing(folder.path / f"{table}.parquet") as partial:
                _join_table(table, plan, done, partial)
        (folder.path / SUMMARY).unlink(missing_ok=True)  # it speaks of other rows
        seconds = {row["cell_id"]: row["cell_s"] for row in joined_rows(folder, ["cell_id", "cell_s"])}
        write_json(folder.path / STAMP, {"of": stamp, "cell_s": seconds})
        return True


def joined_rows(folder: Folder, columns: list[str]) -> list[dict[str, Any]]:
    """Return rows of the joined cells.parquet; none before the first join."""
    path = folder.path / "cells.parquet"
    if not path.exists():
        return []
    present = [name for name in columns if name in pq.read_schema(path).names]
    rows: list[dict[str, Any]] = pq.read_table(path, columns=present).to_pylist()
    return rows


def _join_table(table: str, plan: Plan, done: dict[str, Path], partial: Path) -> None:
    columns = schema(table)
    name = "record" if table == "cells" else table
    with pq.ParquetWriter(partial, columns, compression="zstd") as writer:
        rows: list[pa.Table] = []
        for record in done.values():
            path = record.with_name(f"{name}.parquet")
            if path.exists():
                rows.append(_conformed(pq.read_table(path), columns))
        if table == "cells":
            excluded = [
                cell_row(cell, status="excluded", because=because) | {"run_folder": None}
                for cell, because in plan.excluded
            ]
            rows.append(pa.Table.from_pylist(excluded, schema=columns))
        if rows:
            writer.write_table(pa.concat_tables(rows))


def _conformed(table: pa.Table, columns: pa.Schema) -> pa.Table:
    """Bring a table of an older version to today's columns: new ones are null, dropped ones go."""
    arrays = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type) for f in columns
    ]
    return pa.Table.from_arrays(arrays, schema=columns)


def _stamp(plan: Plan, done: dict[str, Path]) -> str:
    digest = hashlib.sha256(repr(schema("cells")).encode())
    for cell_id, path in done.items():
        digest.update(f"{cell_id} {path.stat().st_mtime_ns}\n".encode())
    for cell, because in plan.excluded:
        digest.update(f"{cell.cell_id} {because}\n".encode())
    return digest.hexdigest()
