"""Launchers that start at the same moment on one folder, each with a recipe of its own, as in study S3."""

from __future__ import annotations

import io
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.launch.options import Options
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan, narrow
from tests.support.distant import Distant

RECIPES = ("fp32", "bf16_amp", "fp16_amp", "tf32")
TEXT = f"""
question = "Q?"
[matrix]
seed = [0, 1, 2, 3, 4]
precision = {json.dumps(RECIPES)}
[fixed]
model = "LeNet"
data = "synthetic"
batch_size = 64
"""


def shell(file: Path, recipe: str, start: Any, said: Any) -> None:
    """Sweep the cells of a recipe, once all shells are there; say the exit code or what was raised."""
    try:
        plan = make_plan(parse_experiment(file, TEXT))
        cells = narrow(plan, only=[f"precision={recipe}"] if recipe else [])
        options = Options(results=file.parent, launcher=Distant(endings={}), report=False)
        start.wait(60)
        said.put(sweep(plan, cells, options, Console(file=io.StringIO())))
    except BaseException as e:
        said.put(repr(e))
        raise


@pytest.mark.parametrize("recipes", [RECIPES, ("",) * 3], ids=["a recipe each", "all cells each"])
def test_shells_that_start_together_leave_one_plan_and_every_row_once(recipes: tuple[str, ...], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, said = context.Barrier(len(recipes)), context.Queue()
    shells = [context.Process(target=shell, args=(tmp_path / "x.toml", recipe, start, said)) for recipe in recipes]
    for process in shells:
        process.start()
    assert [said.get(timeout=60) for _ in shells] == [0] * len(shells)
    for process in shells:
        process.join(60)
    folder = tmp_path / "x"
    rows = pq.read_table(folder / "cells.parquet", columns=["cell_id", "precision", "seed", "status"]).to_pylist()
    assert sorted((row["precision"], row["seed"]) for row in rows) == sorted((r, s) for r in RECIPES for s in range(5))
    assert {row["status"] for row in rows} == {"ok"}
    assert len(json.loads((folder / "plan.json").read_text())["cells"]) == len(rows) == 20
    assert not list(folder.rglob("*.partial"))
