"""Results as an older version of ampbench wrote them: today's results, with the former names of columns."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ampbench.bench.store.convert import files_of
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.stamp import digest, joined_files, record_times, sizes
from ampbench.bench.store.tables import TABLES
from ampbench.schema.files import BUNDLE, CELL_FILE, STAMP
from ampbench.schema.renames import KEY, RENAMED


def age(path: Path, table: str) -> None:
    """Give a file of results the names of version 1; its times stay."""
    times = path.stat()
    changes = [r for r in RENAMED if r.table == table]
    if table == CELL_FILE:
        plain = json.loads(path.read_text())
        path.write_text(json.dumps({r.old if key == r.new else key: plain[key] for key in plain for r in changes}))
    else:
        rows = pq.read_table(path)
        for r in changes:
            if r.within:
                values = pc.if_else(pc.equal(rows[r.within], r.new), r.old, rows[r.within])
                rows = rows.set_column(rows.column_names.index(r.within), rows.schema.field(r.within), values)
        columns = {r.new: r.old for r in changes if not r.within}
        rows = rows.rename_columns([columns.get(name, name) for name in rows.column_names])
        pq.write_table(rows.replace_schema_metadata(None), path, compression="zstd")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    path.with_name(BUNDLE).unlink(missing_ok=True)  # older versions wrote none


def age_results(results: Path) -> None:
    """Give all files of a folder of results the names of version 1, and write them into its stamp."""
    for path, table in list(files_of(results)):
        age(path, table)
    stamp = Folder(path=results).stamp()
    if stamp["of"]:
        plan = json.loads((results / "plan.json").read_text())
        paths = {cell["cell_id"]: results / "runs" / cell["run_folder"] / "record.parquet" for cell in plan["cells"]}
        cells = pq.read_table(results / "cells.parquet")
        lists = {f.name: pa.list_(f.type.value_type) for f in cells.schema if pa.types.is_list(f.type)}
        columns = pa.schema([f.with_type(lists.get(f.name, f.type)) for f in cells.schema], cells.schema.metadata)
        rows = cells.select(["cell_id", "because", "status"]).to_pylist()
        excluded = [(row["cell_id"], row["because"]) for row in rows if row["status"] == "excluded"]
        now = {"of": digest(columns, record_times(paths), excluded), "tables": sizes(joined_files(results, TABLES))}
        (results / STAMP).write_text(json.dumps(stamp | now))


def declare(path: Path, version: int) -> None:
    """Write into a file that its columns are of a version."""
    rows = pq.read_table(path)
    pq.write_table(rows.replace_schema_metadata({KEY: str(version).encode()}), path)
