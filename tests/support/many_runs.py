"""What a folder of many runs costs: `python -m tests.support.many_runs DIR 10000`.

One run of 20 steps is written by the code that writes real ones. The others have its record, which a join only compares
with its checksum, and its rows under their own ids; those that are in DIR already stay. Then a process of its own joins
them, joins them again unchanged, and once more after a run changed, and prints the seconds of CPU and the peak of its
memory.
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.bundle import read_bundle, write_bundle
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.record import write_run
from ampbench.schema.files import RECORD, STAMP
from tests.support.measuring import record_of, traces_of
from tests.support.results import TEXT, plan_of

BLOCKS = [{"block": i, "epoch": 1, "images_per_s": 100.0 + i, "steady": i > 0} for i in range(6)]


def plan_of_many(num_cells: int) -> Plan:
    """Return a plan of so many cells that are only timed."""
    points = itertools.product(range(num_cells), ("LeNet", "VGG11"), RECIPES.values(), (32, 64, 128, 256))
    cells = [
        Cell(model=model, data="digits", precision=recipe, batch_size=size, seed=seed, epochs=0)
        for seed, model, recipe, size in itertools.islice(points, num_cells)
    ]
    return replace(plan_of(TEXT.split("[[exclude]]")[0]), cells=tuple(cells), excluded=())


def write_one(folder: Folder, cell: Cell, num_steps: int = 20, **columns: Any) -> None:
    """Write the run of a cell."""
    path = folder.run_path(cell)
    path.mkdir(parents=True, exist_ok=True)
    steps = [{"step": i, "epoch": 1, "loss": 2.5} for i in range(num_steps)]
    record = record_of({"cell_s": 3.0, "images_per_s": 100.0} | columns)
    write_run(path, cell, record, traces_of({"steps": steps, "blocks": BLOCKS}))


def _copy(folder: Folder, cells: Sequence[Cell]) -> None:
    """Write the first cell's run, and its rows as those of the other cells."""
    write_one(folder, cells[0])
    first = folder.run_path(cells[0])
    record = (first / RECORD).read_bytes()
    bundle = read_bundle(first, record)
    assert bundle
    for cell in cells[1:]:
        path = folder.run_path(cell)
        if (path / RECORD).exists():
            continue
        path.mkdir(parents=True, exist_ok=True)
        tables = {}
        for table, batch in bundle.tables.items():
            rows = pa.Table.from_batches([batch])
            ids = pa.array([cell.cell_id] * len(rows), pa.string())
            tables[table] = rows.set_column(rows.column_names.index("cell_id"), rows.schema.field("cell_id"), ids)
        write_bundle(path, tables, record, bundle.attempt.decode())
        (path / RECORD).write_bytes(record)


def _measured(what: str, call: Callable[[], Any]) -> None:
    before = time.process_time()
    call()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:28} {time.process_time() - before:7.2f} s of CPU, peak {peak_mib:,.0f} MiB", flush=True)


def main(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="Where the runs are written.")],
    num_runs: Annotated[int, typer.Argument(metavar="RUNS", min=2)] = 10_000,
    joins: Annotated[bool, typer.Option("--joins", help="Only join the runs that are there.")] = False,
) -> None:
    """Write many runs, and measure what it costs to join them."""
    plan, folder = plan_of_many(num_runs), Folder(path=path)
    if not joins:
        _copy(folder, plan.cells)
        subprocess.run(
            [sys.executable, "-m", "tests.support.many_runs", str(path), str(num_runs), "--joins"], check=True
        )
        return
    (path / STAMP).unlink(missing_ok=True)
    last = plan.cells[-1]
    _measured(f"{num_runs:,} cells: ids", lambda: [(cell.cell_id, cell.run_folder) for cell in plan.cells])
    _measured("which are done", lambda: folder.done(plan.cells))
    _measured("first join", lambda: join(plan, folder))
    _measured("nothing changed", lambda: join(plan, folder))
    write_one(folder, last)
    _measured("one run changed", lambda: join(plan, folder))


if __name__ == "__main__":
    typer.run(main)
