"""The rows of a run in one file: the same as those of its Parquet files, and never those of another attempt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.store import bundle, joined_tables, rows
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import damaged_files, join
from ampbench.bench.store.record import write_run
from ampbench.bench.store.tables import TABLES
from ampbench.schema.files import BUNDLE, RECORD, STAMP
from tests.support.many_runs import plan_of_many, write_one
from tests.support.measuring import record_of, traces_of
from tests.support.results import finish, plan_of
from tests.support.thinned import thinned

Tables = dict[str, pa.Table]


def joined(folder: Folder) -> Tables:
    return {table: pq.read_table(folder.path / f"{table}.parquet") for table in TABLES}


def joined_again(folder: Folder, num_cells: int) -> Tables:
    (folder.path / STAMP).unlink(missing_ok=True)
    join(plan_of_many(num_cells), folder)
    return joined(folder)


def assert_same(found: Tables, expected: Tables) -> None:
    for table, whole in expected.items():
        assert found[table].equals(whole, check_metadata=True), table


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs, as they were written; each test has a copy."""
    folder = Folder(path=tmp_path_factory.mktemp("written") / "trial")
    for k, cell in enumerate(plan_of_many(4).cells):
        write_one(folder, cell, num_steps=20 + k, environment_id=f"e{k}")
    return folder.path


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Folder:
    return Folder(path=Path(shutil.copytree(written, tmp_path / "trial")))


def test_a_join_from_bundles_and_one_from_parquet_files_give_the_same_tables(folder: Folder) -> None:
    from_bundles = joined_again(folder, 4)
    assert from_bundles["steps"].num_rows == 20 + 21 + 22 + 23
    for path in folder.path.rglob(BUNDLE):
        path.unlink()
    assert_same(joined_again(folder, 4), from_bundles)


@pytest.mark.parametrize("most", thinned([1, 7, 40], kept=2))
def test_rows_are_the_same_however_many_are_in_memory(
    most: int, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = joined_again(folder, 4)
    monkeypatch.setattr(joined_tables, "MOST_BATCHES", most)
    monkeypatch.setattr(rows, "ROWS_AT_ONCE", most)
    assert_same(joined_again(folder, 4), expected)
    for path in folder.path.rglob(BUNDLE):
        path.unlink()
    assert_same(joined_again(folder, 4), expected)


def test_a_join_opens_two_files_a_run_however_many_tables_a_run_has(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read_bytes(path))
    monkeypatch.setattr(rows.pq, "ParquetFile", lambda *_, **__: pytest.fail("a Parquet file was opened"))
    join(plan_of_many(4), folder)
    assert sorted(opened) == [RECORD] * 4 + [BUNDLE] * 4


@pytest.mark.parametrize("how", ["missing", "cut short", "a bit turned", "not ours", "other columns", "another record"])
def test_a_bundle_that_does_not_belong_to_the_record_is_passed_over(
    how: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = joined_again(folder, 4)
    paths = [folder.run_path(cell) / BUNDLE for cell in plan_of_many(4).cells]
    content = paths[0].read_bytes()
    if how == "missing":
        paths[0].unlink()
    elif how == "cut short":
        paths[0].write_bytes(content[: len(content) // 2])
    elif how == "a bit turned":
        paths[0].write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    elif how == "not ours":
        paths[0].write_bytes(b'[1]\n"')
    elif how == "another record":
        shutil.copy(paths[1], paths[0])
    else:
        monkeypatch.setattr(bundle, "columns", lambda: "others")
    assert_same(joined_again(folder, 4), expected)
    assert not damaged_files(folder)


def test_a_trace_that_is_damaged_later_costs_nothing_while_the_bundle_is_whole(folder: Folder) -> None:
    expected = joined_again(folder, 4)
    for path in folder.path.rglob("runs/*/steps.parquet"):
        path.write_bytes(b"PAR1")
    assert_same(joined_again(folder, 4), expected)


def test_a_large_table_is_read_from_its_own_file(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MOST_BYTES", 2000)
    cell = plan_of_many(4).cells[0]
    write_one(folder, cell, num_steps=500)
    found = bundle.read_bundle(folder.run_path(cell), (folder.run_path(cell) / RECORD).read_bytes())
    assert found is not None
    assert found.tables["steps"] is None
    assert joined_again(folder, 4)["steps"].num_rows == 500 + 21 + 22 + 23


@pytest.mark.parametrize(
    "torn", [("steps.parquet",), ("steps.parquet", BUNDLE), ("blocks.parquet",), (RECORD,), (BUNDLE,)]
)
def test_rows_of_two_attempts_at_a_cell_are_never_joined_as_one_run(torn: tuple[str, ...], folder: Folder) -> None:
    """Two workers in one folder, where locks do not work, each write all files of a run; any may be the last."""
    cell = plan_of_many(4).cells[0]
    other = Folder(path=folder.path.parent / "other")
    write_one(other, cell, num_steps=77, environment_id="another")
    for name in torn:
        shutil.copy(other.run_path(cell) / name, folder.run_path(cell) / name)
    found = joined_again(folder, 4)
    [run] = [row for row in found["cells"].to_pylist() if row["cell_id"] == cell.cell_id]
    num_steps = sum(value == cell.cell_id for value in found["steps"]["cell_id"].to_pylist())
    attempts = {"e0": 20, "another": 77}
    assert num_steps == attempts[run["environment_id"]]
    assert not damaged_files(folder)


def test_without_a_bundle_a_trace_of_another_attempt_is_left_out_and_named(folder: Folder) -> None:
    cell = plan_of_many(4).cells[0]
    other = Folder(path=folder.path.parent / "other")
    write_one(other, cell, num_steps=77)
    shutil.copy(other.run_path(cell) / "steps.parquet", folder.run_path(cell))
    (folder.run_path(cell) / BUNDLE).unlink()
    assert cell.cell_id not in joined_again(folder, 4)["steps"]["cell_id"].to_pylist()
    reason = damaged_files(folder)[f"runs/{cell.run_folder}/steps.parquet"]
    assert reason == "is of another attempt at this cell than its record"


def test_a_run_that_is_written_again_keeps_no_trace_of_the_attempt_before(folder: Folder) -> None:
    plan = plan_of()
    cell = plan.cells[0]
    finish(folder, plan, 1)
    assert (folder.run_path(cell) / "steps.parquet").exists()
    write_run(folder.run_path(cell), cell, record_of({"status": "crashed"}), traces_of({}))
    assert not (folder.run_path(cell) / "steps.parquet").exists()
    join(plan, folder)
    assert not damaged_files(folder)
    assert joined(folder)["steps"].num_rows == 0
