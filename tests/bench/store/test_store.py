"""Records on disk: whole or absent, with units, joined to exactly the present plan."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from ampbench.bench.store.atomic import RECORD, replacing
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import damaged_files, join, joined_rows, why_not_whole
from ampbench.bench.store.record import write_run
from ampbench.bench.store.tables import TABLES

TEXT = """
question = "Q?"
[matrix]
seed = [0, 1]
precision = ["fp32", "bf16", "bf16_amp"]
[fixed]
model = "LeNet"
data = "digits"
batch_size = 32
[[exclude]]
precision = "bf16"
seed = 1
because = "known to fail"
"""


def plan_of(text: str = TEXT, path: Path = Path("trial.toml")) -> Plan:
    return make_plan(parse_experiment(path, text))


def finish(folder: Folder, plan: Plan, count: int) -> None:
    for cell in plan.cells[:count]:
        folder.run_path(cell).mkdir(parents=True, exist_ok=True)
        steps = [{"step": 1, "epoch": 1, "loss": 2.5}, {"step": 2, "epoch": 1, "loss": 2.0}]
        write_run(folder.run_path(cell), cell, {"status": "ok", "cell_s": 3.0}, {"steps": steps})


def test_a_write_that_is_cut_short_leaves_no_file(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replacing(tmp_path / "record.parquet") as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    cell = plan_of().cells[0]
    with pytest.raises(ValueError, match=r"'imagess'.* not in ampbench/schema/; add them there"):
        write_run(tmp_path, cell, {"imagess": 1}, {})


def test_unit_label_and_meaning_travel_with_every_column(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 1)
    join(plan, folder)
    for table, columns in TABLES.items():
        schema = pq.read_schema(tmp_path / f"{table}.parquet")
        assert schema.names == [column.name for column in columns]
        for column in columns:
            metadata = schema.field(column.name).metadata
            assert metadata[b"label"].decode() == column.label
            assert metadata[b"unit"].decode() == column.unit
    assert all(column.meaning for column in TABLES["cells"])


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
    assert folder.num_other_runs(slim.cells) == 2


def test_a_record_of_an_older_version_is_joined_with_nulls(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 1)
    record = folder.run_path(plan.cells[0]) / "record.parquet"
    old = pq.read_table(record).drop_columns(["gap_share"])
    pq.write_table(old, record)
    join(plan, folder)
    assert joined_rows(folder, ["gap_share", "status"])[0] == {"gap_share": None, "status": "ok"}


def test_another_file_of_the_same_name_may_not_take_over_a_folder(tmp_path: Path) -> None:
    first = plan_of(path=tmp_path / "a" / "trial.toml")
    folder = Folder.of(first, tmp_path / "results")
    folder.write_plan(first, command="c", git_commit=None, git_dirty=None)
    assert Folder.of(first, tmp_path / "results") == folder
    with pytest.raises(RequestError, match="another file of the same name; rename one, or give --results"):
        Folder.of(plan_of(path=tmp_path / "b" / "trial.toml"), tmp_path / "results")


def spoil(path: Path, how: str) -> None:
    """Damage a file in one of the ways in which files are damaged."""
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        pq.write_table(pa.table({"cell_id": ["0123456789abcdef"], "step": [1]}), path)
    else:
        path.write_text("a text\n" * 100)


DAMAGES = ("deleted", "truncated", "empty", "foreign", "text")


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("table", ["cells", "steps", "epochs"])
def test_a_table_that_is_not_what_was_joined_is_joined_again(table: str, how: str, tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 3)
    join(plan, folder)
    assert not join(plan, folder), "nothing changed"
    whole = {name: pq.read_table(tmp_path / f"{name}.parquet") for name in TABLES}
    spoil(tmp_path / f"{table}.parquet", how)
    assert join(plan, folder)
    assert why_not_whole(folder) is None
    for name, rows in whole.items():
        assert pq.read_table(tmp_path / f"{name}.parquet").equals(rows), name


@pytest.mark.parametrize("how", DAMAGES[1:])
def test_a_record_that_cannot_be_read_is_named_and_its_cell_counts_as_not_done(how: str, tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path), plan_of()
    finish(folder, plan, 3)
    join(plan, folder)
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
