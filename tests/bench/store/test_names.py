"""Results with the names of another version are refused in one line, never read as if they had today's."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.evaluate import load_run
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.convert import convert, files_of
from ampbench.bench.store.earlier import with_earlier
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.names import refuse_other_tables
from ampbench.bench.store.run import Run
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.renames import RENAMED, refusal, version_of
from ampbench.schema.version import COLUMNS_VERSION
from ampbench.visualize.read import frame
from ampbench.visualize.read.files import ResultsError
from tests.bench.store.conftest import PLAN, Age, assert_same, read_all
from tests.conftest import ROOT
from tests.support.distant import Distant
from tests.support.older import age, declare
from tests.support.results import TEXT

STALE = "its columns have the names of an older ampbench; python -m ampbench convert {0} renames them"


def test_every_new_name_is_a_column_of_today_and_no_old_one_is() -> None:
    for renamed in RENAMED:
        assert renamed.since <= COLUMNS_VERSION
        if renamed.table in TABLES and not renamed.within:
            assert renamed.new in schema(renamed.table).names
            assert renamed.old not in schema(renamed.table).names


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


def test_the_runs_of_one_table_of_run_one_are_refused_and_not_left_outside(results: Path, age_results: Age) -> None:
    age_results(results)
    with pytest.raises(RequestError, match="names of an older ampbench"):
        with_earlier(PLAN, Folder(path=results))
    convert(results)
    assert len(with_earlier(PLAN, Folder(path=results)).cells) == len(PLAN.cells)


def test_the_weights_of_an_older_run_are_evaluated_after_the_conversion(results: Path, age_results: Age) -> None:
    run = Run.load(results / "runs" / PLAN.cells[0].run_folder)
    age_results(results)
    with pytest.raises(RequestError, match="names of an older ampbench") as refused:
        load_run(run.folder)
    assert str(refused.value).startswith(f"{results}: ")
    convert(results)
    assert load_run(run.folder) == run


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


@pytest.mark.parametrize("left", ["all", "the joined tables", "the runs"])
def test_a_sweep_over_older_results_is_refused_in_a_line_before_anything_is_touched(
    left: str, results: Path, age_results: Age
) -> None:
    age_results(results)
    if left == "the joined tables":
        shutil.rmtree(results / "runs")
    for table in TABLES if left == "the runs" else ():
        (results / f"{table}.parquet").unlink()
    before = contents(results)
    options = Options(launcher=Distant(endings={}), results=results.parent)
    with pytest.raises(RequestError) as refused:
        sweep(PLAN, PLAN.cells, options, Console(file=io.StringIO()))
    assert str(refused.value) == f"{results}: {STALE.format(repr(str(results)))}"
    assert contents(results) == before


@pytest.mark.whole
def test_the_command_that_would_sweep_them_ends_with_that_line(results: Path, age_results: Age, tmp_path: Path) -> None:
    (tmp_path / "trial.toml").write_text(TEXT)
    age_results(results)
    (results / "plan.json").unlink()  # it names another file
    before = contents(results)
    line = [sys.executable, "bench/run_matrix.py", str(tmp_path / "trial.toml"), "--results", str(results.parent)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{results}: {STALE.format(repr(str(results)))}\n"
    assert contents(results) == before


def contents(results: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
