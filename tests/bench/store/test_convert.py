"""Results of an older version are converted without a loss: the report is the same before and after."""

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
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.convert import convert, files_of
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.visualize import report
from ampbench.visualize.read.files import ResultsError
from tests.bench.store.conftest import PLAN, Age, assert_same, read_all
from tests.conftest import ROOT
from tests.support import older
from tests.support.results import spoil


def test_what_is_converted_is_what_todays_version_would_have_written(results: Path, age_results: Age) -> None:
    before, cells = read_all(results), {path: path.read_text() for path in results.glob("runs/*/cell.json")}
    assert all(table.num_rows for path, table in before.items() if path.stem in ("layers", "steps", "epochs"))
    age_results(results)
    assert "dtype_check" not in pq.read_schema(results / "cells.parquet").names
    done = convert(results)
    assert (done.num_converted, done.damaged) == (len(list(files_of(results))), {})
    assert_same(results, before)
    assert {path: path.read_text() for path in cells} == cells
    again = convert(results)
    assert (again.num_converted, again.num_current) == (0, done.num_converted)


@pytest.mark.parametrize("changed", ["nothing", "a record", "a run", "a table"])
def test_a_converted_folder_is_joined_again_only_where_it_would_have_been_before(
    changed: str, results: Path, age_results: Age
) -> None:
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


def test_a_conversion_that_is_interrupted_is_finished_by_the_same_command(
    results: Path, age_results: Age, monkeypatch: pytest.MonkeyPatch
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


def test_a_run_that_was_taken_out_of_its_folder_is_converted_alone(
    results: Path, age_results: Age, tmp_path: Path
) -> None:
    age_results(results)
    run = Path(shutil.copytree(results / "runs" / PLAN.cells[0].run_folder, tmp_path / "alone"))
    with pytest.raises(RequestError, match=f"^{run}: its columns"):
        load_run(run)
    assert convert(run).num_converted == len(list(files_of(run))) > 5
    assert load_run(run).cell == PLAN.cells[0]


def test_damaged_and_foreign_files_are_named_and_left_alone(results: Path, age_results: Age, tmp_path: Path) -> None:
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


def test_a_file_whose_end_alone_is_whole_stays_as_it_is(results: Path, age_results: Age) -> None:
    age_results(results)
    path = results / "runs" / PLAN.cells[0].run_folder / "steps.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(200) + content[204:])
    done = convert(results)
    assert list(done.damaged) == [path]
    assert path.read_bytes() == content[:4] + bytes(200) + content[204:]
    assert not list(results.rglob("*.partial"))


def test_a_joined_table_whose_end_alone_is_whole_is_set_aside_and_joined_again(results: Path, age_results: Age) -> None:
    age_results(results)
    path = results / "steps.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(200) + content[204:])
    done = convert(results)
    assert "joins the table again from runs/" in done.damaged[path]
    assert path.with_name("steps.parquet.damaged").exists()
    assert join(PLAN, Folder(path=results))
    assert pq.read_table(path).num_rows == 12


def test_a_table_that_lacks_a_column_of_names_is_named_and_the_others_are_converted(
    results: Path, age_results: Age
) -> None:
    age_results(results)
    run = results / "runs" / PLAN.cells[0].run_folder
    path = run / "layers.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["quantity"]), path)
    done = convert(results)
    assert done.damaged == {path: "cannot be read: it lacks the column quantity"}
    assert done.num_converted == len(list(files_of(results))) - 1


def test_a_column_that_no_version_knows_and_its_order_of_rows_stay(results: Path) -> None:
    path = results / "steps.parquet"
    rows = pq.read_table(path).append_column("mine", pa.array(range(12)))
    pq.write_table(rows, path, row_group_size=5)
    older.age(path, "steps")
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


def test_the_command_says_what_it_did_and_its_exit_code(
    results: Path, age_results: Age, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    age_results(results)
    count = len(list(files_of(results)))
    with pytest.raises(RequestError, match="no such folder"):
        command.main([results, tmp_path / "nowhere"])
    assert capsys.readouterr() == ("", ""), "nothing is converted where one of them cannot be"
    line = [sys.executable, "-m", "ampbench", "convert", str(results)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{results}: {count} files converted\n", "")
    assert command.main([results]) == 0
    assert capsys.readouterr() == (f"{results}: 0 files converted, {count} already had the current names\n", "")


def test_a_converted_folder_gives_the_report_that_it_gave_before(
    results: Path, age_results: Age, tmp_path: Path
) -> None:
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
    older.age_results(demo)
    assert convert(demo).damaged == {}
    for path, rows in read_all(demo).items():
        assert rows.equals(before[path].select(rows.column_names)), path


def test_notes_of_ours_that_are_damaged_hinder_no_conversion(results: Path, age_results: Age) -> None:
    age_results(results)
    (results / "plan.json").write_text(json.dumps({"cells": 3}))
    (results / ".joined.json").write_text("[]")
    assert convert(results).damaged == {}
    assert join(PLAN, Folder(path=results))


def test_a_folder_that_needs_no_conversion_gets_no_file_more(results: Path) -> None:
    (results / ".lock").unlink()
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    assert convert(results).num_converted == 0
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
