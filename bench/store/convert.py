"""Give results of an older version today's names: the joined tables and the files of every run, rewritten in place.

A file is replaced as a whole and keeps its modification time. After an interruption the same command converts the
rest.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.atomic import replacing, write_json
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import SET_ASIDE
from ampbench.bench.store.record import AS_ONE_ROW
from ampbench.bench.store.stamp import digest, joined_files, record_times, sizes
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.files import CELL_FILE, CELLS, PLAN, RECORD, RUNS, STAMP, table_file
from ampbench.schema.renames import KEY, columns_of_names, new_names, version_of, with_new_keys
from ampbench.schema.version import COLUMNS_VERSION

READ = (pa.ArrowException, OSError, ValueError, RecursionError)
"""Errors of a file that cannot be read; JSON raises a ValueError."""


@dataclass(kw_only=True, slots=True)
class Conversion:
    """What was done to a folder of results."""

    num_current: int = 0
    """Files that had today's names already."""
    num_converted: int = 0
    damaged: dict[Path, str] = field(default_factory=dict)
    """Files that were not changed, and why."""


def files_of(results: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of results in a folder and the table of each, a run's record after its other files.

    Args:
        results: folder of an experiment, or of a single run that was moved out of one.
    """
    runs = sorted(path for path in (results / RUNS).glob("*") if path.is_dir())
    for run in (*runs, results):
        names = {table_file(table): table for table in TABLES if table != "cells" or run == results}
        for name, table in (names | {CELL_FILE: CELL_FILE, RECORD: "cells"}).items():
            if (run / name).is_file():
                yield run / name, table


def convert(results: Path) -> Conversion:
    """Give every file of results today's names.

    Raises:
        RequestError: a file has the names of a newer version; no file was changed.
    """
    done, old = _look_through(results)
    if not old:  # a committed folder stays without a lock in it
        return done
    with Folder(path=results).lock():
        done, old = _look_through(results)  # whoever held the lock may have joined the runs again
        is_current = _is_current(results)
        for path, table, version in old:
            try:
                _convert(path, table, version)
                done.num_converted += 1
            except READ as e:  # its footer can be read, its columns cannot
                if isinstance(e, OSError) and e.errno:  # a full disk; for a damaged file Arrow gives no errno
                    raise
                done.damaged[path] = _unread(e) + _set_aside(path, results)
        if is_current and not done.damaged:
            _renew_stamp(results)
    return done


def _set_aside(path: Path, results: Path) -> str:
    """Move a joined table away that can be joined again from the runs, and say so; leave any other file."""
    if path.parent != results or path.name == RECORD or not any((results / RUNS).glob(f"*/{RECORD}")):
        return ""
    path.replace(path.with_name(f"{path.name}{SET_ASIDE}"))
    return f"; it is now {path.name}{SET_ASIDE}, and the experiment's own command joins the table again from {RUNS}/"


def _look_through(results: Path) -> tuple[Conversion, list[tuple[Path, str, int]]]:
    """Return what needs no conversion, and the files that do: path, table and version."""
    found = Conversion()
    old: list[tuple[Path, str, int]] = []
    for path, table in files_of(results):
        try:
            version = _version_in(path, table)
        except READ as e:
            found.damaged[path] = _unread(e)
            continue
        if version is None:
            found.damaged[path] = "was not written by ampbench"
        elif version > COLUMNS_VERSION:
            raise RequestError(f"{path}: its columns have the names of a newer ampbench; update ampbench")
        elif version < COLUMNS_VERSION:
            old.append((path, table, version))
        else:
            found.num_current += 1
    return found, old


def _unread(error: Exception) -> str:
    return f"cannot be read: {(str(error).strip() or type(error).__name__).splitlines()[0].rstrip('. ')}"


def _version_in(path: Path, table: str) -> int | None:
    if table == CELL_FILE:
        plain = json.loads(path.read_text())
        if not isinstance(plain, dict):
            return None
        return COLUMNS_VERSION if plain == with_new_keys(plain) else 1
    return version_of(pq.read_schema(path))


def _convert(path: Path, table: str, version: int) -> None:
    """Rewrite a file and keep its times, which tell a joined table's sources and the order of runs."""
    times = path.stat()
    with replacing(path) as partial:
        if table == CELL_FILE:
            partial.write_text(json.dumps(with_new_keys(json.loads(path.read_text())), indent=1))
        else:
            _rewrite(path, partial, table, version)
        os.utime(partial, ns=(times.st_atime_ns, times.st_mtime_ns))


def _rewrite(path: Path, to: Path, table: str, version: int) -> None:
    """Write a table under today's names, one row group at a time: the steps of many runs need not fit into memory."""
    names, within = new_names(table, version), columns_of_names(table, version)
    with pq.ParquetFile(path) as file:
        found = file.schema_arrow
        columns = [names.get(name, name) if names.get(name) not in found.names else name for name in found.names]
        target = _today(table, found, columns)
        how = AS_ONE_ROW if path.name == RECORD else {"compression": "zstd"}
        with pq.ParquetWriter(to, target, **how) as writer:
            for i in range(file.num_row_groups):
                rows = file.read_row_group(i).rename_columns(columns)
                for column in within:
                    if column not in columns:
                        raise ValueError(f"it lacks the column {column}")
                    values = _renamed_values(rows[column], new_names(table, version, within=column))
                    rows = rows.set_column(columns.index(column), column, values)
                writer.write_table(rows.select(target.names).cast(target))


def _today(table: str, found: pa.Schema, columns: list[str]) -> pa.Schema:
    """Return the columns of a file in today's order and words; columns that no longer exist stay at the end."""
    kinds = dict(zip(columns, found, strict=True))
    known = [f.with_type(_as_named(kinds[f.name].type)) for f in schema(table) if f.name in kinds]
    others = [f.with_name(name) for name, f in kinds.items() if name not in schema(table).names]
    return pa.schema([*known, *others], {**(found.metadata or {}), KEY: str(COLUMNS_VERSION).encode()})


def _renamed_values(column: pa.ChunkedArray, names: dict[str, str]) -> pa.ChunkedArray:
    for old, new in names.items():
        column = pc.if_else(pc.equal(column, old), new, column)
    return column


def _as_named(kind: pa.DataType) -> pa.DataType:
    """Return a type as `schema` writes it: Parquet names the items of a list differently."""
    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


def _is_current(results: Path) -> bool:
    """Whether the joined tables were made of the present records, as the older version would judge."""
    stamp = Folder(path=results).stamp()
    with suppress(*READ, KeyError, TypeError):
        columns = pq.read_schema(results / CELLS)
        as_written = pa.schema([f.with_type(_as_named(f.type)) for f in columns], columns.metadata)
        return bool(
            stamp["tables"] == sizes(joined_files(results, TABLES)) and stamp["of"] == _digest(results, as_written)
        )
    return False


def _renew_stamp(results: Path) -> None:
    """Renew the stamp if the tables are what the next join would write, so that it does not write them again."""
    for table in TABLES:
        found = pq.read_schema(results / table_file(table))
        as_written = pa.schema([f.with_type(_as_named(f.type)) for f in found], found.metadata)
        if not as_written.equals(schema(table), check_metadata=True):
            return
    now = {"of": _digest(results, schema("cells")), "tables": sizes(joined_files(results, TABLES))}
    write_json(results / STAMP, Folder(path=results).stamp() | now)


def _digest(results: Path, columns: pa.Schema) -> str:
    """Return what `join` would write into the stamp for columns like these."""
    plan: dict[str, Any] = json.loads((results / PLAN).read_text())
    paths = {cell["cell_id"]: results / RUNS / cell["run_folder"] / RECORD for cell in plan["cells"]}
    rows = pq.read_table(results / CELLS, columns=["cell_id", "status", "because"]).to_pylist()
    return digest(
        columns, record_times(paths), ((r["cell_id"], r["because"]) for r in rows if r["status"] == "excluded")
    )
