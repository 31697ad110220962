"""The command of a row is one that run_matrix.py accepts, and it plans the cells of that row and no others."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest

from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan, narrow
from ampbench.bench.store.folder import Folder
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.read import frame
from ampbench.visualize.show.again import commands

# fmt: off
EXPERIMENTS = {
    "recipes and seeds": """
[matrix]
seed = [0, 1]
batch_size = [64, 128]
precision = ["fp32", "fp16_amp_scaled", "bf16_amp"]
[fixed]
model = "LeNet"
data = "digits"
epochs = 2
""",
    "loss scales, rates, augmentations and switches": """
[matrix]
precision = ["fp16_amp_scaled"]
loss_scale = ["dynamic", "static:1024"]
batch = [{batch_size = 64, learning_rate = 0.1}, {batch_size = 128, learning_rate = 0.2}]
augment = [[], ["crop", "flip"], ["flip"]]
channels_last = [true, false]
[fixed]
model = "LeNet"
data = "digits"
epochs = 1
""",
    "rounds, models and arguments": """
[matrix]
model = ["LeNet", "torchvision:resnet18"]
precision = ["fp32", "bf16_amp"]
[fixed]
data = "synthetic"
batch_size = 32
[measure]
rounds = 3
""",
}
# fmt: on


@pytest.mark.parametrize("text", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_the_command_of_a_row_plans_its_cells_and_no_others(text, folder):
    source = Path("experiments/my file.toml")
    plan = make_plan(parse_experiment(source, f'question = "Q?"\n{text}'))
    for one in plan.cells:
        folder.add(one)
    path = folder.write()
    written = Folder.of(plan, path.parent)
    written.write_plan(plan, command="", git_commit=None, git_dirty=None)
    (written.path / "plan.json").replace(path / "plan.json")
    results = frame.read(path)
    rows = standings(results, [])
    found = commands(results, rows)
    planned = []
    for row, command in zip(rows, found, strict=True):
        python, script, file, *options = shlex.split(command)
        assert (python, script, file) == ("python", "bench/run_matrix.py", str(source))
        assert options[-2:] == ["--results", "again"]
        assert options[:-2:2] == ["--only"] * (len(options) // 2 - 1)
        cells = narrow(plan, only=options[1:-2:2])
        assert {(one.precision.name, one.batch_size) for one in cells} == {
            (row.recipe.partition(" (")[0], row.batch_size)
        }
        alike = {dataclasses.replace(one, seed=0, round=0).cell_id for one in cells}
        assert len(alike) == 1
        assert len(cells) == row.measured.num_cells
        planned += [one.cell_id for one in cells]
    assert sorted(planned) == sorted(one.cell_id for one in plan.cells)


def test_a_row_that_was_measured_exclusively_is_so_again(folder):
    plan = make_plan(parse_experiment(Path("x.toml"), f'question = "Q?"\n{EXPERIMENTS["recipes and seeds"]}'))
    for one in plan.cells:
        folder.add(one, exclusive=one.precision.name == "fp32")
    path = folder.write()
    Folder.of(plan, path.parent).write_plan(plan, command="", git_commit=None, git_dirty=None)
    (path.parent / "x" / "plan.json").rename(path / "plan.json")
    results = frame.read(path)
    rows = standings(results, [])
    for row, command in zip(rows, commands(results, rows), strict=True):
        assert command.endswith("--results again --exclusive" if row.recipe == "fp32" else "--results again")


def test_a_cell_that_the_plan_leaves_out_has_no_command(folder):
    plan = make_plan(parse_experiment(Path("x.toml"), f'question = "Q?"\n{EXPERIMENTS["recipes and seeds"]}'))
    for one in plan.cells:
        folder.add(one, "excluded" if one.precision.name == "bf16_amp" else "ok")
    results = frame.read(folder.write())
    rows = standings(results, [])
    for row, command in zip(rows, commands(results, rows), strict=True):
        assert bool(command) == (row.recipe != "bf16_amp")


def test_a_cell_that_ran_from_flags_has_its_own_command(folder):
    plan = make_plan(parse_experiment(Path("x.toml"), f'question = "Q?"\n{EXPERIMENTS["recipes and seeds"]}'))
    for one in plan.cells:
        folder.add(one, command=f"python bench/run_one.py --seed {one.seed}")
    folder.plan = {"source": "bench/run_one.py", "cells": [{"cell_id": plan.cells[0].cell_id, "precision": "fp32"}]}
    results = frame.read(folder.write())
    rows = standings(results, [])
    assert set(commands(results, rows)) == {"python bench/run_one.py --seed 0"}
