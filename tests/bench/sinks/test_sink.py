"""Which runs a sink is told of, and that a further sink is a module and a row of a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import requirements
from ampbench.bench.run_matrix import main as run_matrix
from ampbench.bench.run_one import main as run_one
from ampbench.bench.sinks import sink
from ampbench.bench.sinks.logged import Mark, digest
from ampbench.bench.sinks.publish import publish_finished
from ampbench.bench.sinks.sink import SINKS, project_of
from ampbench.bench.store.folder import Folder
from ampbench.path import ROOT
from tests.bench.sinks.sample import CELLS, RUNS
from tests.bench.sinks.second import SECOND


def test_a_sink_is_told_of_fresh_runs_and_of_those_that_it_has_missed(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    monkeypatch.setitem(SINKS, "second", SECOND)
    monkeypatch.setattr(sink, "last_words", lambda _, arguments, **__: told.append(arguments[1:]) or "done")
    folder = Folder(path=experiment)
    mark(experiment, RUNS[0])
    assert list(publish_finished(["second"], folder, CELLS, [])) == ["Second: done"]
    assert list(publish_finished(["second"], folder, CELLS, CELLS)) == ["Second: done"]
    assert told == [["", RUNS[1]], ["", *RUNS]]
    mark(experiment, RUNS[1])
    assert list(publish_finished(["second"], folder, CELLS, [])) == ["Second: every finished run is logged already"]
    assert list(publish_finished([], folder, CELLS, CELLS)) == []


def mark(experiment: Path, run: str) -> None:
    Mark(record=digest(experiment, run), where="runs").write(experiment, "second", run)


def test_a_run_that_was_run_again_or_whose_copy_is_gone_counts_as_missed(experiment: Path) -> None:
    mark(experiment, RUNS[0])
    assert Mark.read(experiment, "second", RUNS[0])
    assert not Mark.read(experiment, "third", RUNS[0])
    record = experiment / "runs" / RUNS[0] / "record.parquet"
    record.write_bytes(record.read_bytes() + b"newer")
    assert not Mark.read(experiment, "second", RUNS[0])
    Mark(record=digest(experiment, RUNS[1]), where="gone").write(experiment, "second", RUNS[1])
    assert not Mark.read(experiment, "second", RUNS[1])


def test_a_project_without_a_sink_is_refused_in_one_line() -> None:
    assert project_of("ours", ["wandb"]) == "ours"
    assert project_of(None, []) == ""
    with pytest.raises(RequestError, match=r"--project ours: .*add --wandb or --swanlab"):
        project_of("ours", [])


def test_each_sink_has_a_flag_of_both_commands() -> None:
    for command in (run_matrix, run_one):
        assert SINKS.keys() <= command.__signature__.parameters.keys()  # type: ignore[attr-defined]
    for name, each in SINKS.items():
        assert each.module == f"ampbench.bench.sinks.{name}"
        assert each.name == name


def test_what_a_sink_needs_is_installed_where_it_is_tested() -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements-sinks.txt").read_text().splitlines()]
    assert set(filter(None, lines)) <= set(requirements())
    assert {sink.package for sink in SINKS.values()} <= {line.partition(">")[0] for line in requirements()}


def test_the_launcher_pays_nothing_for_a_sink() -> None:
    heavy = "{'wandb', 'swanlab', 'tensorboard', 'torch', 'pandas', 'pyarrow', 'numpy'}"
    code = f"import sys, ampbench.bench.sinks.live; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
