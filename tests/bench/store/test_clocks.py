"""Two machines whose clocks differ by an hour write into one folder: times are compared for being the same, no more."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.bench.store.earlier import with_earlier
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from tests.bench.store.conftest import run_of
from tests.support.many_runs import plan_of_many, write_one

HOUR_NS = 3600 * 10**9


def shift(path: Path, by_ns: int) -> None:
    """Let a file be written by another clock."""
    time_ns = path.stat().st_mtime_ns + by_ns
    os.utime(path, ns=(time_ns, time_ns))


@pytest.mark.parametrize("by_ns", [-HOUR_NS, HOUR_NS])
def test_a_record_is_joined_whatever_clock_wrote_it_before_or_after_the_tables(by_ns: int, tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of_many(3)
    for cell in plan.cells[:2]:
        write_one(folder, cell, environment_id="here")
    assert join(plan, folder)
    for cell in plan.cells[1:]:
        write_one(folder, cell, environment_id="there")
        shift(folder.run_path(cell) / "record.parquet", by_ns)
    assert join(plan, folder), "one is new and one was replaced"
    assert not join(plan, folder)
    found = pq.read_table(tmp_path / "cells.parquet")["environment_id"].to_pylist()
    assert found == ["here", "there", "there"], "in the plan's order, not in that of their times"
    shift(tmp_path / "steps.parquet", by_ns)
    assert join(plan, folder), "a table that another machine put there is not taken for ours"
    assert not join(plan, folder)


@pytest.mark.parametrize("by_ns", [-HOUR_NS, HOUR_NS])
def test_a_rerun_counts_whether_its_clock_is_before_or_after_that_of_the_record_it_replaces(
    by_ns: int, tmp_path: Path
) -> None:
    folder, cell = Folder(path=tmp_path), plan_of_many(1).cells[0]
    run = replace(run_of(folder, cell), again=True)
    write_one(folder, cell)
    before = run.recorded_ns
    write_one(folder, cell)
    shift(run.record_path, by_ns)
    assert run.recorded_ns != before


def test_two_machines_add_to_one_folder_the_same_cells_whatever_their_clocks(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of_many(4)
    for k, cell in enumerate(plan.cells[:3]):
        run_of(folder, cell).save()
        write_one(folder, cell)
        shift(folder.run_path(cell) / "record.parquet", (-1) ** k * HOUR_NS)
    own = replace(plan, cells=plan.cells[3:])
    cells = with_earlier(own, folder).cells
    assert cells[-1] == plan.cells[3]
    assert set(cells) == set(plan.cells)
    assert with_earlier(own, folder).cells == cells
