"""A network layer by layer, by a process that may import torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from torch import nn

from ampbench import models
from ampbench.bench.launch.shown.layer_table import MARK, layer_tables
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
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


def test_every_network_of_a_plan_is_shown_once_and_one_that_prints_or_fails_spoils_no_other() -> None:
    cells = [cell("LeNet"), cell("LeNet", seed=1), cell("tests.bench.worker.test_layer_table:Talking", image_size=8)]
    cells += [cell("tests.support.tiny:Net", image_size=16)]
    lenet, talking, wrong = layer_tables(cells)
    assert lenet[0] == "LeNet on images of 32x32"
    assert lenet[-1] == "  62,006 parameters, 0.2 MiB in fp32"
    assert "  features.0    Conv2d     (N, 6, 28, 28)          456" in lenet
    assert talking[-1].startswith("  1,")
    assert len(wrong) == 1
    assert "no summary: ValueError: 'tests.support.tiny:Net': the model has input_shape" in wrong[0]


@pytest.mark.parametrize(
    "command",
    thinned(["run_one.py --model LeNet --data digits", "run_matrix.py experiments/demo.toml"], kept=1),
)
def test_both_commands_show_it_with_the_plan_and_only_with_it(command: str) -> None:
    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, f"bench/{command.split()[0]}", *command.split()[1:], *more]
        return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)

    shown = run("--plan", "--summary")
    assert "62,006 parameters" in shown.stdout, shown.stderr
    alone = run("--summary")
    assert (alone.returncode, len(alone.stderr.splitlines())) == (2, 1)
