"""The joined tables of an experiment: cells.parquet, epochs.parquet, steps.parquet and so on, one for all runs.

They hold exactly the cells of the present plan that have a record, and its excluded cells. Several launchers may
join at the same time; the last one to finish finds all records, so shards need no further command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.atomic import write_json
from ampbench.bench.store.disk import without_locks
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.joined_tables import JoinedTables
from ampbench.bench.store.record import excluded_table
from ampbench.bench.store.rows import Damaged, rows_of
from ampbench.bench.store.stamp import digest, joined_files, record_times, sizes
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.files import STAMP, SUMMARY, table_file
from ampbench.schema.partial import sweep

SET_ASIDE = ".damaged"
"""Appended to the name of a record that cannot be read."""


def join(plan: Plan, folder: Folder) -> bool:
    """Join the runs; return whether anything changed since the last time.

    A table that was deleted, truncated or replaced is written again. A record that cannot be read is renamed, so that
    its cell is run again. Other files of a run that cannot be read are left out, and listed by `damaged_files`.

    Where locks do not work, two may join at once. Each then leaves whole tables, perhaps not all of one of them; the
    stamp names those of its writer alone, so the next join finds the mixture and writes them again.
    """
    with folder.lock():
        sweep(folder.path)
        records, last = folder.records(plan.cells), folder.stamp()
        times_ns = record_times(records)  # before any is read: one that is replaced meanwhile is joined the next time
        joined = joined_files(folder.path, TABLES)
        if last["of"] == _stamp(plan, times_ns) and last["tables"] == sizes(joined):
            return False
        damaged: dict[Path, str] = {}
        reasons: dict[str, str] = {}
        seconds: dict[str, float | None] = {}
        with JoinedTables(folder.path) as tables:
            for cell_id, path in records.items():
                try:
                    rows = rows_of(path, cell_id)
                except Damaged as e:
                    damaged[path] = str(e)
                    continue
                for table, batches in rows.tables.items():
                    tables.add(table, batches)
                seconds[cell_id] = rows.cell_s
                reasons |= {_named(file, folder): reason for file, reason in rows.damaged.items()}
            if plan.excluded:
                tables.add("cells", excluded_table(plan.excluded).to_batches())
        for path in damaged:
            path.replace(path.with_name(f"{path.name}{SET_ASIDE}"))
        of = _stamp(plan, {cell_id: time_ns for cell_id, time_ns in times_ns.items() if cell_id in seconds})
        for summary in folder.path.glob(f"{Path(SUMMARY).stem}*.txt"):
            summary.unlink(missing_ok=True)  # it describes other rows
        reasons |= {_named(path, folder): f"{reason}; its cell is run again" for path, reason in damaged.items()}
        seconds |= {cell.cell_id: None for cell, _ in plan.excluded}
        write_json(folder.path / STAMP, {"of": of, "tables": tables.sizes, "damaged": reasons, "cell_s": seconds})
        return True


def damaged_files(folder: Folder) -> dict[str, str]:
    """Return file -> why it was left out of the joined tables; the file by its path in the folder."""
    return dict(folder.stamp()["damaged"])


def complaints(folder: Folder) -> Iterator[str]:
    """Yield a line for each thing that a person should mend before cells are run into a folder."""
    if unlockable := without_locks(folder.path):
        yield unlockable
    for file, reason in damaged_files(folder).items():
        yield f"{folder.path / file}: {reason}"


def why_not_whole(folder: Folder) -> str | None:
    """Return which joined table cannot be read, and why; None if all can."""
    for table in TABLES:
        path = folder.path / table_file(table)
        try:
            pq.read_metadata(path)
        except (pa.ArrowException, OSError) as e:
            return f"{path}: {str(e).splitlines()[0]}"
    return None


def joined_rows(
    folder: Folder, columns: list[str], table: str = "cells", *, statuses: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return rows of a joined table, of cells that ended with one of the statuses, or all; none before the first join.

    Rows take a hundred times the memory that they take in the table, so whoever wants few asks for few.
    """
    path = folder.path / table_file(table)
    if not path.exists():
        return []
    with pq.ParquetFile(path) as file:  # opened once: its head takes longer to read than a few columns
        names = {*file.schema_arrow.names}
        present = [name for name in columns if name in names]
        found = file.read(columns=[*{*present, *(["status"] if statuses else [])}])
    if statuses:
        found = found.filter(pc.is_in(found["status"], pa.array(statuses)))
    rows: list[dict[str, Any]] = found.select(present).to_pylist()
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


def _named(path: Path, folder: Folder) -> str:
    return str(path.relative_to(folder.path))


def _stamp(plan: Plan, times_ns: dict[str, int]) -> str:
    return digest(schema("cells"), times_ns, ((cell.cell_id, because) for cell, because in plan.excluded))
