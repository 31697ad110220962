"""Many writers of one folder, killed at any moment: no row is lost, none is there twice, none is of two attempts."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.bench.machine import file_lock
from ampbench.bench.machine.locks import hold_run
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import damaged_files, join
from ampbench.schema.files import RECORD
from ampbench.schema.partial import sweep
from tests.support.many_runs import plan_of_many, write_one

FORK, SPAWN = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
PATIENCE_S = 300


def unlockable(_: object) -> str:
    """Say so of every file."""
    return "No locks available"


def write_all(folder: Folder, num_cells: int, seed: int) -> None:
    """Write the runs that have no record, in an order of its own, and join now and then; as a worker and a launcher."""
    chance = random.Random(seed)
    plan = plan_of_many(num_cells)
    cells = list(plan.cells)
    chance.shuffle(cells)
    for cell in cells:
        path = folder.run_path(cell)
        path.mkdir(parents=True, exist_ok=True)
        with hold_run(path):
            if (path / RECORD).exists():
                continue
            sweep(path)
            num_steps = chance.randrange(1, 50)
            write_one(folder, cell, num_steps=num_steps, environment_id=f"{num_steps} {seed}")
        if chance.random() < 0.1:
            join(plan, folder)


def written_and_killed(folder: Folder, num_cells: int, num_writers: int, locks: bool) -> dict[str, bytes]:
    """Let writers work until every cell has a record, and kill one after another; return the records as first seen.

    Called in a process of its own: a writer that is forked beside another library's threads, such as Ray's, may hang.
    """
    if not locks:
        file_lock.why_unlockable = unlockable
    chance = random.Random(0)
    plan = plan_of_many(num_cells)
    seeds = iter(range(10**6))
    seen: dict[str, bytes] = {}

    def start() -> BaseProcess:
        process = FORK.Process(target=write_all, args=(folder, num_cells, next(seeds)))
        process.start()
        return process

    writers = [start() for _ in range(num_writers)]
    num_killed = 0
    deadline_s = time.monotonic() + PATIENCE_S

    def kill(k: int) -> None:
        writers[k].kill()
        writers[k].join()
        writers[k] = start()

    try:
        kill(num_writers - 1)
        while len(seen) < num_cells:
            assert time.monotonic() < deadline_s, f"{len(seen)} of {num_cells} cells"
            time.sleep(0.02 * chance.random())
            seen = {c: path.read_bytes() for c, path in folder.done(plan.cells).items() if c not in seen} | seen
            k = chance.randrange(num_writers)
            if num_killed < 3 * num_writers or writers[k].exitcode is not None:
                num_killed += writers[k].exitcode is None
                kill(k)
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    return seen


@pytest.mark.parametrize(
    ("num_writers", "num_cells"), [(4, 12), pytest.param(64, 256, marks=pytest.mark.whole)], ids=["few", "64"]
)
@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_writers_killed_at_random_leave_every_row_once_and_whole(
    locks: bool, num_writers: int, num_cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not locks:
        monkeypatch.setattr(file_lock, "why_unlockable", unlockable)
    folder, plan = Folder(path=tmp_path / "trial"), plan_of_many(num_cells)
    with ProcessPoolExecutor(1, SPAWN) as clean:
        seen = clean.submit(written_and_killed, folder, num_cells, num_writers, locks).result()
    join(plan, folder)
    assert not join(plan, folder), "what a killed join left is mended by the next one"
    assert damaged_files(folder) == {}
    rows = pq.read_table(folder.path / "cells.parquet", columns=["cell_id", "environment_id"]).to_pylist()
    assert [row["cell_id"] for row in rows] == [cell.cell_id for cell in plan.cells]
    num_steps = Counter(pq.read_table(folder.path / "steps.parquet")["cell_id"].to_pylist())
    assert num_steps == Counter({row["cell_id"]: int(row["environment_id"].split()[0]) for row in rows})
    assert not list(folder.path.glob(".*partial")), "each join sweeps the folder"
    if locks:
        now = {cell_id: path.read_bytes() for cell_id, path in folder.done(plan.cells).items()}
        assert now == seen, "a record that is there stays"
