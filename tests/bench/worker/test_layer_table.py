"""A network layer by layer, by a process that may import torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from torch import nn
from typer.testing import CliRunner

from ampbench import models
from ampbench.bench.launch.shown.layer_table import MARK, layer_tables
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.run_matrix import main as run_matrix
from ampbench.bench.run_one import main as run_one
from ampbench.bench.worker import layer_table
from tests.conftest import ROOT
from tests.support.thinned import thinned
from tests.support.tiny import LooksAtValues, Net


def cell(model: str, **fields: object) -> Cell:
    return Cell(model=model, data="digits", precision=RECIPES["fp32"], batch_size=4, **fields)  # type: ignore[arg-type]


class Talking(Net):
    """Prints, as some networks do."""

    def __init__(self) -> None:
        super().__init__()
        print('{"layers": []}')


class Shared(Net):
    """Uses one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.linear


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the networks here, where torch is imported already."""

    def run(_: list[str], **given: Any) -> SimpleNamespace:
        with monkeypatch.context() as patched, redirect_stdout(StringIO()) as said:
            patched.setattr(sys, "stdin", StringIO(given["input"]))
            layer_table.main()
        return SimpleNamespace(returncode=0, stdout=said.getvalue())

    monkeypatch.setattr("ampbench.bench.launch.shown.layer_table.subprocess.run", run)


def test_both_ends_know_the_same_mark() -> None:
    assert layer_table.MARK == MARK


@pytest.mark.parametrize("name", thinned(["LeNet", "VGG19", "SmallCifarNet", "hybrid", "DLA", "ShuffleNetG2"], kept=2))
def test_the_parameters_of_the_layers_add_up_to_the_networks(name: str) -> None:
    found = layer_table.layer_table(cell(name), 10)
    assert sum(layer["num_parameters"] for layer in found["layers"]) == found["num_parameters"]
    assert found["num_parameters"] == sum(p.numel() for p in models.build(name).parameters())
    assert found["layers"][-1]["shape"] == "(N, 10)"


def test_a_network_that_looks_at_values_is_run_on_the_cpu() -> None:
    assert LooksAtValues.num_classes == 10
    found = layer_table.layer_table(cell("tests.support.tiny:LooksAtValues", image_size=8), 10)
    assert [layer["type"] for layer in found["layers"]] == ["Conv2d", "BatchNorm2d", "Dropout", "Linear"]


def test_a_shared_layer_stands_there_once() -> None:
    found = layer_table.layer_table(cell("tests.bench.worker.test_layer_table:Shared", image_size=8), 10)
    assert isinstance(Shared().again, nn.Linear)
    assert [layer["name"] for layer in found["layers"]].count("linear") == 1
    assert sum(layer["num_parameters"] for layer in found["layers"]) == found["num_parameters"]


@pytest.mark.parametrize("fixtures", [["in_this_process"], pytest.param([], marks=pytest.mark.whole)])
def test_every_network_of_a_plan_is_shown_once_and_one_that_prints_or_fails_spoils_no_other(
    fixtures: list[str], request: pytest.FixtureRequest
) -> None:
    for name in fixtures:
        request.getfixturevalue(name)
    cells = [cell("LeNet"), cell("LeNet", seed=1), cell("tests.bench.worker.test_layer_table:Talking", image_size=8)]
    cells += [cell("tests.support.tiny:Net", image_size=16)]
    lenet, talking, wrong = layer_tables(cells)
    assert lenet[0] == "LeNet on images of 32x32"
    assert lenet[-1] == "  62,006 parameters, 0.2 MiB in fp32"
    assert "  features.0    Conv2d     (N, 6, 28, 28)          456" in lenet
    assert talking[-1].startswith("  1,")
    assert len(wrong) == 1
    assert "no summary: ValueError: 'tests.support.tiny:Net': the model has input_shape" in wrong[0]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("main", "words"),
    [(run_one, "--model LeNet --data digits"), (run_matrix, f"{ROOT}/experiments/demo.toml")],
)
def test_both_commands_show_it_with_the_plan_and_only_with_it(main: Callable[..., int], words: str) -> None:
    app = typer.Typer()
    app.command()(main)
    shown = CliRunner().invoke(app, [*words.split(), "--plan", "--summary"])
    assert "62,006 parameters" in shown.stdout, shown.exception
    alone = CliRunner().invoke(app, [*words.split(), "--summary"])
    assert isinstance(alone.exception, RequestError)
    assert len(str(alone.exception).splitlines()) == 1
