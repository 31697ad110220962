"""The joined tables of an experiment: cells.parquet, epochs.parquet, steps.parquet and so on, one for all runs.

They hold exactly the cells of the present plan that have a record, and its excluded cells. Several launchers may
join at the same time; the last one to finish finds all records, so shards need no further command.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.atomic import replacing, write_json
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.record import Damaged, excluded_table, read_run
from ampbench.bench.store.stamp import digest, sizes
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.files import STAMP, SUMMARY, table_file

SET_ASIDE = ".damaged"
"""Appended to the name of a record that cannot be read."""


def join(plan: Plan, folder: Folder) -> bool:
    """Join the runs; return whether anything changed since the last time.

    A table that was deleted, truncated or replaced is written again. A record that cannot be read is renamed, so that
    its cell is run again. Other files of a run that cannot be read are left out, and listed by `damaged_files`.
    """
    with folder.lock():
        done, damaged = folder.done(plan.cells), folder.broken(plan.cells)
        last = folder.stamp()
        if not damaged and last["of"] == _stamp(plan, done) and last["tables"] == sizes(folder.path, TABLES):
            return False
        records = {}
        for cell_id, path in done.items():
            try:
                records[cell_id] = read_run(path, "cells", cell_id)
            except Damaged as e:
                damaged[path] = str(e)
        for path in damaged:
            path.replace(path.with_name(f"{path.name}{SET_ASIDE}"))
        done = {cell_id: path for cell_id, path in done.items() if cell_id in records}
        reasons = {_named(path, folder): f"{reason}; its cell is run again" for path, reason in damaged.items()}
        for table in TABLES:
            with replacing(folder.path / table_file(table)) as partial:
                reasons |= _join_table(table, plan, folder, done, records, partial)
        for summary in folder.path.glob(f"{Path(SUMMARY).stem}*.txt"):
            summary.unlink(missing_ok=True)  # it describes other rows
        seconds = {cell_id: record["cell_s"][0].as_py() for cell_id, record in records.items()}
        seconds |= {cell.cell_id: None for cell, _ in plan.excluded}
        now = {"of": _stamp(plan, done), "tables": sizes(folder.path, TABLES), "damaged": reasons, "cell_s": seconds}
        write_json(folder.path / STAMP, now)
        return True


def damaged_files(folder: Folder) -> dict[str, str]:
    """Return file -> why it was left out of the joined tables; the file by its path in the folder."""
    return dict(folder.stamp()["damaged"])


def why_not_whole(folder: Folder) -> str | None:
    """Return which joined table cannot be read, and why; None if all can."""
    for table in TABLES:
        path = folder.path / table_file(table)
        try:
            pq.read_metadata(path)
        except (pa.ArrowException, OSError) as e:
            return f"{path}: {str(e).splitlines()[0]}"
    return None


def joined_rows(folder: Folder, columns: list[str], table: str = "cells") -> list[dict[str, Any]]:
    """Return rows of a joined table; none before the first join."""
    path = folder.path / table_file(table)
    if not path.exists():
        return []
    present = [name for name in columns if name in pq.read_schema(path).names]
    rows: list[dict[str, Any]] = pq.read_table(path, columns=present).to_pylist()
    return rows


def recorded_rows(folder: Folder, cells: Iterable[Cell], columns: list[str]) -> dict[str, dict[str, Any]]:
    """Return cell id -> row of each cell that has a record, joined or not; what cannot be read is left out.

    Columns that a record of an older version does not hold are None.
    """
    rows = {}
    for cell_id, path in folder.done(cells).items():
        try:
            with pq.ParquetFile(path) as file:
                present = set(columns).intersection(file.schema_arrow.names)
                [row] = file.read(columns=list(present)).to_pylist()
        except (pa.ArrowException, OSError, ValueError):
            continue
        rows[cell_id] = dict.fromkeys(columns) | row
    return rows


def _join_table(
    table: str, plan: Plan, folder: Folder, done: dict[str, Path], records: dict[str, pa.Table], partial: Path
) -> dict[str, str]:
    """Write one table; return the files that are left out of it, and why."""
    columns = schema(table)
    rows: list[pa.Table] = []
    damaged: dict[str, str] = {}
    if table == "cells":
        rows += records.values()
        rows.append(excluded_table(plan.excluded))
    else:
        for cell_id, record in done.items():
            path = record.with_name(table_file(table))
            try:
                if path.exists():
                    rows.append(read_run(path, table, cell_id))
                elif _is_missing(table, records[cell_id]):
                    damaged[_named(path, folder)] = "is not there"
            except Damaged as e:
                damaged[_named(path, folder)] = str(e)
    with pq.ParquetWriter(partial, columns, compression="zstd") as writer:
        if rows:
            writer.write_table(pa.concat_tables(rows))
    return damaged


def _is_missing(table: str, record: pa.Table) -> bool:
    """Whether a cell that ran to its end must have rows in a table."""
    [cell] = record.select(["status", "epochs"]).to_pylist()
    return bool(cell["status"] == "ok" and (table in ("steps", "blocks") or (table == "epochs" and cell["epochs"])))


def _named(path: Path, folder: Folder) -> str:
    return str(path.relative_to(folder.path))


def _stamp(plan: Plan, done: dict[str, Path]) -> str:
    return digest(schema("cells"), done, ((cell.cell_id, because) for cell, because in plan.excluded))
