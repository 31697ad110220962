"""The command `explain`: its text in a narrow terminal, its JSON, and what it says of a wrong request."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ampbench.schema.work import KINDS
from ampbench.visualize import explain
from tests.visualize.conftest import Folder, cell

APP = typer.Typer()
APP.command()(explain.main)


def run(*words: str, width: int = 60) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of the command in a terminal of this width."""
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(APP, list(words))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def measured(folder: Folder) -> Path:
    """A folder of two recipes with work by kind, at two batch sizes."""
    kinds = dict.fromkeys((one.name for one in KINDS), 0.0)
    for batch_size in (64, 128):
        for recipe, products in (("fp32", 80.0), ("bf16_amp", 20.0)):
            spent: dict[str, Any] = kinds | {"work_matmul_conv_ms": products, "work_normalisation_ms": 20.0}
            folder.add(cell(recipe, batch_size), **spent, step_ms=products + 20)
    return folder.write()


@pytest.mark.parametrize("width", [60, 79, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int, measured: Path) -> None:
    code, out, _ = run(str(measured), "--a", "fp32", "--b", "bf16_amp", width=width)
    assert code == 0
    assert max(map(len, out.splitlines())) <= width
    assert out.count("Why not faster:") == 2


def test_without_recipes_the_fastest_is_explained_by_the_reference(measured: Path) -> None:
    code, out, _ = run(str(measured), "--batch", "128")
    assert code == 0
    assert out.startswith("VGG19 at batch 128: bf16_amp against fp32")
    assert "at batch 64" not in out


def test_the_json_holds_the_question_the_sentence_and_the_bars(measured: Path) -> None:
    code, out, _ = run(str(measured), "--batch", "64", "--format", "json")
    assert code == 0
    first, *_ = json.loads(out)
    assert (first["question"], first["topic"], first["batch_size"]) == ("why not faster", "step time", 64)
    assert {"label": "normalisation", "a": 20.0, "b": 20.0} in first["waterfall"]["bars"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--a", "fp32", "--b", "bf16"), "--b bf16: no cell of"),
        (("--batch", "32"), "no cell has it; batch_size is 64, 128 here"),
        (("--a", "bf16_amp", "--b", "bf16_amp"), "name two"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(words: tuple[str, ...], said: str, measured: Path) -> None:
    code, out, err = run(str(measured), *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_one_recipe_alone_is_refused_with_what_to_name(matrix: Callable[..., Path]) -> None:
    code, _, err = run(str(matrix(recipes=("fp32",))))
    assert code == 2
    assert "no batch size has two recipes" in err


def test_it_is_a_command_of_ampbench() -> None:
    done = subprocess.run([sys.executable, "-m", "ampbench", "--help"], capture_output=True, text=True, check=True)
    assert "explain" in done.stdout
