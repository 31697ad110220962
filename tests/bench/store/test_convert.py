"""Results under the names of an older version: never read as if they had today's, and converted without a loss."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench import convert as command
from ampbench.bench.evaluate import load_run
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.convert import convert, files_of
from ampbench.bench.store.earlier import with_earlier
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.names import refuse_other_tables
from ampbench.bench.store.record import write_parquet
from ampbench.bench.store.run import Run
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.renames import RENAMED, refusal, version_of
from ampbench.schema.version import COLUMNS_VERSION
from ampbench.visualize import report
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError
from tests.bench.store.test_store import TEXT, plan_of, spoil
from tests.conftest import ROOT
from tests.support.older import age, age_results, declare

PLAN = plan_of()
STALE = "its columns have the names of an older ampbench; python -m ampbench convert {0} renames them"

Read = dict[Path, pa.Table]


def run_of(folder: Folder, cell: Cell) -> Run:
    experiment = PLAN.experiment
    path, protocol, budget = folder.run_path(cell), experiment.protocol, experiment.budget
    board = Board(board_id="cpu")
    return Run(folder=path, cell=cell, protocol=protocol, budget=budget, board=board, order=1, command="c")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results whose renamed columns all hold something, joined."""
    folder = Folder(path=tmp_path / "old results" / "trial")
    for cell in PLAN.cells[:4]:
        run_of(folder, cell).save()
        rows = {
            "steps": [{"step": i, "epoch": 1, "loss": 2.0, "loss_scale_factor": 2.0**i} for i in range(3)],
            "epochs": [{"epoch": 1, "wall_images_per_s": 90.0, "loss_scale_factor": 8.0, "epoch_evaluation_s": 0.5}],
            "blocks": [{"block": 1, "epoch": 1, "images_per_s": 100.0, "steady": True}],
            "layers": [
                {"step": 1, "layer": "conv1", "tensor": "gradient", "quantity": name, "value": 3.0}
                for name in ("loss_scale_factor", "norm")
            ],
        }
        for table, traces in rows.items():
            path = folder.run_path(cell) / f"{table}.parquet"
            write_parquet(path, table, [{"cell_id": cell.cell_id, **row} for row in traces])
        record = {
            "cell_id": cell.cell_id, "group_id": cell.group_id, "run_folder": cell.run_folder, **cell.settings,
            "status": "ok", "cell_s": 3.0, "images_per_s": 100.0, "environment_id": "e", "machine": "m", "torch": "2",
            "method_version": 4, "steady_peak_bytes": 2**20, "memory_instrument": "rss", "num_test_images": 100,
            "dtype_check": "fp32 12", "matmul_conv_share": 0.5, "passes_s": 1.0, "numerics_probe_s": 2.0,
            "evaluation_s": 0.5,
        }  # fmt: skip
        write_parquet(folder.run_path(cell) / "record.parquet", "cells", [record])
    folder.write_plan(PLAN, command="x", git_commit=None, git_dirty=None)
    join(PLAN, folder)
    return folder.path


def read_all(results: Path) -> Read:
    return {path: pq.read_table(path) for path, _ in files_of(results) if path.suffix == ".parquet"}


def assert_same(results: Path, before: Read) -> None:
    for path, rows in read_all(results).items():
        assert rows.equals(before[path]), path
        assert rows.schema.equals(before[path].schema, check_metadata=True), path


def test_every_new_name_is_a_column_of_today_and_no_old_one_is() -> None:
    for renamed in RENAMED:
        assert renamed.since <= COLUMNS_VERSION
        if renamed.table in TABLES and not renamed.within:
            assert renamed.new in schema(renamed.table).names
            assert renamed.old not in schema(renamed.table).names


def test_what_is_converted_is_what_todays_version_would_have_written(results: Path) -> None:
    before, cells = read_all(results), {path: path.read_text() for path in results.glob("runs/*/cell.json")}
    assert all(table.num_rows for path, table in before.items() if path.stem in ("layers", "steps", "epochs"))
    age_results(results)
    assert "dtype_check" not in pq.read_schema(results / "cells.parquet").names
    done = convert(results)
    assert (done.num_converted, done.damaged) == (len(list(files_of(results))), {})
    assert_same(results, before)
    assert {path: path.read_text() for path in cells} == cells
    again = convert(results)
    assert (again.num_converted, again.num_files) == (0, done.num_files)


@pytest.mark.parametrize("changed", ["nothing", "a record", "a run", "a table"])
def test_a_converted_folder_is_joined_again_only_where_it_would_have_been_before(changed: str, results: Path) -> None:
    age_results(results)
    run = results / "runs" / PLAN.cells[0].run_folder
    if changed == "a record":
        (run / "record.parquet").touch()
    elif changed == "a run":
        shutil.rmtree(run)
    elif changed == "a table":
        (results / "steps.parquet").touch()
    convert(results)
    assert join(PLAN, Folder(path=results)) == (changed != "nothing")
    assert not join(PLAN, Folder(path=results))


def test_joining_older_runs_is_refused_and_takes_nothing(results: Path) -> None:
    for path, table in list(files_of(results)):
        if path.parent != results:
            age(path, table)
    before = read_all(results)
    (results / ".joined.json").unlink()
    with pytest.raises(RequestError, match="names of an older ampbench") as refused:
        join(PLAN, Folder(path=results))
    assert str(refused.value) == f"{results}: {STALE.format(repr(str(results)))}"
    assert_same(results, before)
    assert not list(results.rglob("*.damaged"))


@pytest.mark.parametrize("table", ["cells", "epochs", "steps", "layers"])
def test_a_half_converted_folder_is_refused_whichever_half_it_is(table: str, results: Path) -> None:
    before = read_all(results)
    age(results / f"{table}.parquet", table)
    with pytest.raises(RequestError, match="names of an older ampbench"):
        refuse_other_tables(results)
    with pytest.raises(ResultsError, match="names of an older ampbench"):
        frame.read(results)
    convert(results)
    refuse_other_tables(results)
    frame.read(results)
    assert_same(results, before)
    path = results / "runs" / PLAN.cells[1].run_folder / ("record.parquet" if table == "cells" else f"{table}.parquet")
    age(path, table)
    (results / ".joined.json").unlink()
    with pytest.raises(RequestError, match="names of an older ampbench"):
        join(PLAN, Folder(path=results))
    assert convert(results).num_converted == 1
    assert join(PLAN, Folder(path=results))
    assert_same(results, before)


def test_a_conversion_that_is_interrupted_is_finished_by_the_same_command(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_all(results)
    age_results(results)
    module, num_left = sys.modules[convert.__module__], 12
    whole = module._convert  # type: ignore[attr-defined]

    def interrupted(path: Path, table: str, version: int) -> None:
        nonlocal num_left
        num_left -= 1
        if not num_left:
            raise KeyboardInterrupt
        whole(path, table, version)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_convert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            convert(results)
    assert not list(results.rglob("*.partial"))
    with pytest.raises(RequestError, match="names of an older ampbench"):
        join(PLAN, Folder(path=results))
    assert convert(results).num_converted == len(list(files_of(results))) - 11
    assert_same(results, before)
    assert not join(PLAN, Folder(path=results))


def test_the_runs_of_one_table_of_run_one_are_refused_and_not_left_outside(results: Path) -> None:
    age_results(results)
    with pytest.raises(RequestError, match="names of an older ampbench"):
        with_earlier(PLAN, Folder(path=results))
    convert(results)
    assert len(with_earlier(PLAN, Folder(path=results)).cells) == len(PLAN.cells)


def test_the_weights_of_an_older_run_are_evaluated_after_the_conversion(results: Path) -> None:
    run = Run.load(results / "runs" / PLAN.cells[0].run_folder)
    age_results(results)
    with pytest.raises(RequestError, match="names of an older ampbench") as refused:
        load_run(run.folder)
    assert str(refused.value).startswith(f"{results}: ")
    convert(results)
    assert load_run(run.folder) == run


def test_a_run_that_was_taken_out_of_its_folder_is_converted_alone(results: Path, tmp_path: Path) -> None:
    age_results(results)
    run = Path(shutil.copytree(results / "runs" / PLAN.cells[0].run_folder, tmp_path / "alone"))
    with pytest.raises(RequestError, match=f"^{run}: its columns"):
        load_run(run)
    assert convert(run).num_converted == 6
    assert load_run(run).cell == PLAN.cells[0]


def test_damaged_and_foreign_files_are_named_and_left_alone(results: Path, tmp_path: Path) -> None:
    age_results(results)
    run = results / "runs" / PLAN.cells[0].run_folder
    hows = {"record": "truncated", "steps": "text", "blocks": "empty", "layers": "foreign"}
    for name, how in hows.items():
        spoil(run / f"{name}.parquet", how)
    (run / "cell.json").write_text("[1]")
    kept = {path: path.read_bytes() for path in run.iterdir()}
    done = convert(results)
    assert {path.stem for path in done.damaged} == {*hows, "cell"}
    assert all(path.read_bytes() == kept[path] for path in done.damaged)
    assert done.num_converted == len(list(files_of(results))) - len(done.damaged)
    assert join(PLAN, Folder(path=results)), "what is damaged is found again"


def test_a_file_whose_end_alone_is_whole_stays_as_it_is(results: Path) -> None:
    age_results(results)
    path = results / "runs" / PLAN.cells[0].run_folder / "steps.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(200) + content[204:])
    done = convert(results)
    assert list(done.damaged) == [path]
    assert path.read_bytes() == content[:4] + bytes(200) + content[204:]
    assert not list(results.rglob("*.partial"))


def test_results_of_a_newer_version_are_refused_by_all_and_left_alone(results: Path) -> None:
    age(results / "runs" / PLAN.cells[0].run_folder / "steps.parquet", "steps")
    declare(results / "epochs.parquet", COLUMNS_VERSION + 1)
    before = read_all(results)
    for refused, call in (
        (RequestError, lambda: convert(results)),
        (RequestError, lambda: refuse_other_tables(results)),
        (ResultsError, lambda: frame.read_table(results, "epochs")),
    ):
        with pytest.raises(refused, match="newer ampbench; update ampbench"):
            call()
    assert_same(results, before)


def test_a_file_that_lost_its_version_on_the_way_is_known_by_its_names(results: Path, tmp_path: Path) -> None:
    def bare(rows: pa.Table) -> pa.Schema:
        return pa.schema([pa.field(f.name, f.type) for f in rows.schema])

    today = pq.read_table(results / "steps.parquet")
    assert version_of(bare(today)) is None
    assert refusal(results, "steps", bare(today)) is None
    age(results / "steps.parquet", "steps")
    assert refusal(results, "steps", bare(pq.read_table(results / "steps.parquet")))


def test_a_column_that_no_version_knows_and_its_order_of_rows_stay(results: Path) -> None:
    path = results / "steps.parquet"
    rows = pq.read_table(path).append_column("mine", pa.array(range(12)))
    pq.write_table(rows, path, row_group_size=5)
    age(path, "steps")
    convert(results)
    assert pq.read_table(path)["mine"].to_pylist() == list(range(12))
    assert pq.read_table(path)["loss_scale_factor"].to_pylist() == rows["loss_scale_factor"].to_pylist()


def test_a_folder_without_results_is_refused_and_one_above_results_names_them(results: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for folder, said in (
        (tmp_path / "none", "holds no results; name a folder that does"),
        (tmp_path / "nowhere", "no such folder"),
        (results.parent, f"name the folders in it that do: {results}"),
    ):
        with pytest.raises(RequestError, match=said):
            command.refuse_no_results(folder)


def test_the_command_says_what_it_did_and_its_exit_code(results: Path, tmp_path: Path) -> None:
    age_results(results)

    def said(*words: Path) -> tuple[int, str, str]:
        line = [sys.executable, "-m", "ampbench", "convert", *map(str, words)]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout, done.stderr

    count = len(list(files_of(results)))
    code, out, error = said(results, tmp_path / "nowhere")
    assert (code, out, len(error.splitlines())) == (2, "", 1), "nothing is converted where one of them cannot be"
    assert said(results) == (0, f"{results}: {count} files converted\n", "")
    assert said(results) == (0, f"{results}: 0 files converted, {count} had today's names already\n", "")


def test_a_converted_folder_gives_the_report_that_it_gave_before(results: Path, tmp_path: Path) -> None:
    report.write_report(results, words_only=True)
    text = (results / "summary.txt").read_text()
    age_results(results)
    with pytest.raises(ResultsError, match="names of an older ampbench"):
        report.write_report(results, words_only=True)
    convert(results)
    report.write_report(results, words_only=True)
    assert (results / "summary.txt").read_text() == text


def test_the_demo_is_converted_without_a_loss(tmp_path: Path) -> None:
    demo = Path(shutil.copytree(ROOT / "results" / "demo", tmp_path / "demo"))
    before = read_all(demo)
    age_results(demo)
    assert convert(demo).damaged == {}
    for path, rows in read_all(demo).items():
        assert rows.equals(before[path].select(rows.column_names)), path


def test_notes_of_ours_that_are_damaged_hinder_no_conversion(results: Path) -> None:
    age_results(results)
    (results / "plan.json").write_text(json.dumps({"cells": 3}))
    (results / ".joined.json").write_text("[]")
    assert convert(results).damaged == {}
    assert join(PLAN, Folder(path=results))


@pytest.mark.parametrize("left", ["all", "the joined tables", "the runs"])
def test_a_sweep_over_older_results_is_refused_in_a_line_before_anything_is_touched(
    left: str, results: Path, tmp_path: Path
) -> None:
    (tmp_path / "trial.toml").write_text(TEXT)
    age_results(results)
    (results / "plan.json").unlink()  # it names another file
    if left == "the joined tables":
        shutil.rmtree(results / "runs")
    for table in TABLES if left == "the runs" else ():
        (results / f"{table}.parquet").unlink()
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    line = [sys.executable, "bench/run_matrix.py", str(tmp_path / "trial.toml"), "--results", str(results.parent)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{results}: {STALE.format(repr(str(results)))}\n"
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before
