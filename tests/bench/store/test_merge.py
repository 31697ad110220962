"""The tables of several results folders as those of one."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.merge import merge
from ampbench.visualize.read import frame
from tests.support.results import TEXT, finish, plan_of


@pytest.fixture
def parts(tmp_path):
    """Two joined folders: seeds 0 and 1, and seed 5 with the first cell of the other folder."""
    texts = [TEXT, TEXT.replace("seed = [0, 1]", "seed = [0, 5]").replace("seed = 1", "seed = 5")]
    plans = [plan_of(text, Path(f"{name}.toml")) for text, name in zip(texts, ("speed", "start"), strict=True)]
    folders = [Folder(path=tmp_path / name) for name in ("speed", "start")]
    for plan, folder in zip(plans, folders, strict=True):
        finish(folder, plan, len(plan.cells))
        join(plan, folder)
    return plans, folders


def test_every_cell_of_the_parts_is_there_once_with_its_traces(parts, tmp_path: Path) -> None:
    plans, folders = parts
    merge(plans, folders, tmp_path / "all", question="Which?", command="advise")
    found = frame.read(tmp_path / "all")
    ran = {cell.cell_id for plan in plans for cell in plan.cells}
    assert set(found.ok["cell_id"]) == ran
    assert len(found.steps) == 2 * len(ran)
    assert set(found.plan.cell_ids) == ran
    assert found.question == "Which?"


def test_a_cell_of_two_parts_is_that_of_the_last(parts, tmp_path: Path) -> None:
    plans, folders = parts
    both = {cell.cell_id for cell in plans[0].cells} & {cell.cell_id for cell in plans[1].cells}
    path = folders[1].path / "cells.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("cell_s")
    pq.write_table(table.set_column(place, table.schema.field(place), [[7.0] * len(table)]), path)
    merge(plans, folders, tmp_path / "all", question="Which?", command="advise")
    cells = frame.read(tmp_path / "all").ok
    assert both
    assert set(cells[cells["cell_id"].isin(both)]["cell_s"]) == {7.0}


def test_a_part_that_was_never_joined_is_empty(parts, tmp_path: Path) -> None:
    plans, folders = parts
    merge(plans, [folders[0], Folder(path=tmp_path / "none")], tmp_path / "all", question="Which?", command="advise")
    assert len(frame.read(tmp_path / "all").ok) == len(plans[0].cells)


def test_what_was_said_of_other_rows_is_gone(parts, tmp_path: Path) -> None:
    plans, folders = parts
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "summary.txt").write_text("old")
    merge(plans, folders, tmp_path / "all", question="Which?", command="advise")
    assert not (tmp_path / "all" / "summary.txt").exists()
