"""Which runs a sink is told of, and that a further sink is a module and a row of a table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ampbench.bench.run_matrix import main as run_matrix
from ampbench.bench.run_one import main as run_one
from ampbench.bench.sinks import sink
from ampbench.bench.sinks.publish import publish_finished
from ampbench.bench.sinks.sink import SINKS
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
    (experiment / "second").mkdir()
    (experiment / "second" / f"{CELLS[0].cell_id}.txt").touch()
    assert list(publish_finished(["second"], folder, CELLS, [])) == ["Second: done"]
    assert list(publish_finished(["second"], folder, CELLS, CELLS)) == ["Second: done"]
    assert told == [[RUNS[1]], RUNS]
    (experiment / "second" / f"{CELLS[1].cell_id}.txt").touch()
    assert list(publish_finished(["second"], folder, CELLS, [])) == ["Second: every finished run is logged already"]
    assert list(publish_finished([], folder, CELLS, CELLS)) == []


def test_each_sink_has_a_flag_of_both_commands() -> None:
    for command in (run_matrix, run_one):
        assert SINKS.keys() <= command.__signature__.parameters.keys()  # type: ignore[attr-defined]
    for name, each in SINKS.items():
        assert each.module == f"ampbench.bench.sinks.{name}"
        assert "{cell_id}" in each.written


def test_the_launcher_pays_nothing_for_a_sink() -> None:
    heavy = "{'wandb', 'torch', 'pandas', 'pyarrow', 'numpy'}"
    code = f"import sys, ampbench.bench.sinks.sink; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
