"""The commands that compare recipes say of a search what is right instead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ampbench.visualize import compare, explain, export
from tests.visualize.conftest import Folder, cell


@pytest.fixture
def search(folder: Folder) -> Path:
    """A search whose trials differ in the momentum."""
    trials = []
    for number in range(4):
        for recipe in ("fp32", "bf16_amp"):
            one = cell(recipe, momentum=0.8 + 0.02 * number)
            folder.add(one, step_ms=10.0)
            values = {"momentum": one.momentum}
            trials.append({"study": f"precision={recipe}", "number": number, "values": values, "cell_id": one.cell_id})
    space = [{"field": "momentum", "low": 0.1, "high": 0.99, "choices": []}]
    record = {"objective": "test_accuracy", "greater_is_better": True, "num_trials": 4, "space": space}
    path = folder.write()
    (path / "search.json").write_text(json.dumps(record | {"trials": [one | {"reruns": []} for one in trials]}))
    return path


@pytest.mark.parametrize(
    ("main", "flags"),
    [
        (explain.main, []),
        (compare.main, ["--a", "precision=fp32", "--b", "precision=bf16_amp"]),
        (export.main, ["--table", "comparisons"]),
    ],
    ids=["explain", "compare", "export"],
)
def test_recipes_of_a_search_are_not_compared(main: object, flags: list[str], search: Path) -> None:
    app = typer.Typer()
    app.command()(main)  # type: ignore[type-var]
    done = CliRunner().invoke(app, [str(search), *flags])
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "holds the trials of a search, which differ in more than the precision" in line
    assert f"python -m ampbench report {search}" in line


def test_the_exported_answers_of_a_search_are_those_of_its_report(search: Path) -> None:
    app = typer.Typer()
    app.command()(export.main)
    done = CliRunner().invoke(app, [str(search), "--table", "answers", "--format", "json"])
    assert done.exit_code == 0
    assert all("train with momentum = " in row["headline"] for row in json.loads(done.stdout))
