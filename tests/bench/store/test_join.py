"""Runs are joined to exactly the present plan: a file that cannot be read is named, and made again where possible."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import damaged_files, join, joined_rows, why_not_whole
from ampbench.bench.store.tables import TABLES
from ampbench.schema.files import BUNDLE, RECORD
from tests.support.results import DAMAGES, TEXT, finish, plan_of, spoil


@pytest.fixture(scope="module")
def of_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three runs, joined; `three` is a copy."""
    folder = Folder(path=tmp_path_factory.mktemp("three"))
    finish(folder, plan_of(), 3)
    join(plan_of(), folder)
    return folder.path


@pytest.fixture
def three(of_three: Path, tmp_path: Path) -> Folder:
    return Folder(path=Path(shutil.copytree(of_three, tmp_path, dirs_exist_ok=True)))


def test_the_joined_tables_hold_the_plans_finished_and_excluded_cells(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 3)
    assert join(plan, folder)
    rows = joined_rows(folder, ["cell_id", "status", "because"])
    assert sorted(row["status"] for row in rows) == ["excluded", "ok", "ok", "ok"]
    assert {row["because"] for row in rows if row["status"] == "excluded"} == {"known to fail"}
    assert pq.read_table(tmp_path / "steps.parquet").num_rows == 6
    assert set(folder.stamp()["cell_s"].values()) == {3.0, None}


def test_joining_again_reads_nothing_unless_something_changed(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 2)
    assert join(plan, folder)
    assert not join(plan, folder)
    finish(folder, plan, 3)
    assert join(plan, folder)


def test_runs_of_an_earlier_plan_stay_on_disk_and_out_of_the_tables(tmp_path: Path) -> None:
    folder, wide = Folder(path=tmp_path), plan_of()
    finish(folder, wide, 5)
    slim = plan_of(TEXT.replace("seed = [0, 1]", "seed = [0]").split("[[exclude]]")[0])
    join(slim, folder)
    assert len(joined_rows(folder, ["cell_id"])) == len(slim.cells) == 3
    (folder.path / "runs" / "circle").symlink_to("circle")
    (folder.path / "runs" / ".DS_Store").touch()
    assert folder.num_other_runs(slim.cells) == 2


def test_a_record_of_an_older_version_is_joined_with_nulls(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 1)
    record = folder.run_path(plan.cells[0]) / "record.parquet"
    old = pq.read_table(record).drop_columns(["gap_share"])
    pq.write_table(old, record)
    join(plan, folder)
    assert joined_rows(folder, ["gap_share", "status"])[0] == {"gap_share": None, "status": "ok"}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("table", ["cells", "steps", "epochs"])
def test_a_table_that_is_not_what_was_joined_is_joined_again(
    table: str, how: str, three: Folder, tmp_path: Path
) -> None:
    folder, plan = three, plan_of()
    assert not join(plan, folder), "nothing changed"
    whole = {name: pq.read_table(tmp_path / f"{name}.parquet") for name in TABLES}
    spoil(tmp_path / f"{table}.parquet", how)
    assert join(plan, folder)
    assert why_not_whole(folder) is None
    for name, rows in whole.items():
        assert pq.read_table(tmp_path / f"{name}.parquet").equals(rows), name


@pytest.mark.parametrize("how", DAMAGES[1:])
def test_a_record_that_cannot_be_read_is_named_and_its_cell_counts_as_not_done(how: str, three: Folder) -> None:
    folder, plan = three, plan_of()
    bad = plan.cells[1]
    spoil(folder.run_path(bad) / RECORD, how)
    assert join(plan, folder)
    reason = damaged_files(folder)[f"runs/{bad.run_folder}/{RECORD}"]
    assert reason.endswith("its cell is run again")
    assert bad.cell_id not in folder.done(plan.cells)
    ok = {row["cell_id"] for row in joined_rows(folder, ["cell_id", "status"]) if row["status"] == "ok"}
    assert ok == {plan.cells[0].cell_id, plan.cells[2].cell_id}
    finish(folder, plan, 3)
    join(plan, folder)
    assert not [file for file in damaged_files(folder) if RECORD in file]
    assert len(folder.done(plan.cells)) == 3


def test_the_record_of_another_cell_is_not_taken(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 2)
    (folder.run_path(plan.cells[0]) / RECORD).replace(folder.run_path(plan.cells[1]) / RECORD)
    join(plan, folder)
    assert "holds rows of another cell" in damaged_files(folder)[f"runs/{plan.cells[1].run_folder}/{RECORD}"]
    assert folder.done(plan.cells) == {}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_trace_that_cannot_be_read_costs_its_rows_only_and_is_named(how: str, tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 3)
    (folder.run_path(plan.cells[0]) / BUNDLE).unlink()
    spoil(folder.run_path(plan.cells[0]) / "steps.parquet", how)
    join(plan, folder)
    assert len(folder.done(plan.cells)) == 3
    assert pq.read_table(tmp_path / "steps.parquet").num_rows == 4
    assert f"runs/{plan.cells[0].run_folder}/steps.parquet" in damaged_files(folder)


def test_what_is_not_whole_is_not_called_whole(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 1)
    join(plan, folder)
    assert why_not_whole(folder) is None
    (tmp_path / "steps.parquet").write_bytes(b"PAR1")
    assert "steps.parquet" in str(why_not_whole(folder))


@pytest.mark.parametrize("text", ["[]", "{", "1", '{"of": 1, "cell_s": [], "damaged": 3, "tables": null}', ""])
def test_notes_of_ours_that_are_damaged_are_made_again(text: str, tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 2)
    for name in (".joined.json", "plan.json"):
        (tmp_path / name).write_text(text)
    assert folder.said_source() is None
    assert join(plan, folder)
    assert not join(plan, folder)
