"""The start of real trainings: recipes that are known to do harm are told, and those that do none are not accused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.precision import precision
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import Results, read
from ampbench.visualize.stats.start import Start
from tests.support.tiny import Faint
from tests.support.trained import trained

EXPERIMENT = """
question = "Do the first steps tell?"
[measure]
start_steps = {steps}
passes = []
block_ms = 1
max_warmup_s = 0.001
max_timing_s = 0.001
[fixed]
model = "tests.support.tiny:{model}"
data = "digits"
image_size = 8
batch_size = 64
augment = []
num_threads = 1
epochs = 0
{fixed}
[matrix]
seed = {seeds}
precision = {recipes}
{more}
"""
"""Timings of a few steps, which go on to the start of a training."""

Begin = Callable[..., tuple[dict[str, Start | None], Results]]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Return a function that trains the starts, and returns recipe -> verdict, and the results."""

    def run(
        recipes: list[str], fixed: str, *, model: str = "Net", steps: int = 300, num_seeds: int = 3, more: str = ""
    ) -> tuple[dict[str, Start | None], Results]:
        seeds, names = list(range(num_seeds)), str(recipes).replace("'", '"')
        text = EXPERIMENT.format(steps=steps, model=model, fixed=fixed, seeds=seeds, recipes=names, more=more)
        results = read(trained(text, tmp_path), mixed=True)
        return {v.recipe: v.start for v in verdicts_of(results)}, results

    return run


def verdicts(found: dict[str, Start | None]) -> dict[str, str]:
    return {recipe: start.verdict if start else "none" for recipe, start in found.items()}


def test_pure_bf16_with_a_small_rate_is_told_after_a_hundred_and_fifty_steps(begin: Begin) -> None:
    """Updates below half an ulp of a weight are rounded away."""
    found, _ = begin(["fp32", "bf16"], 'learning_rate = 0.0003\noptimizer = "adam"', steps=150, num_seeds=2)
    assert verdicts(found) == {"bf16": "harmful"}
    assert found["bf16"].estimate > 2 * found["bf16"].margin  # type: ignore[union-attr]


@pytest.mark.whole
def test_lost_updates_are_harm_and_autocast_loses_none(begin: Begin) -> None:
    found, _ = begin(["fp32", "bf16", "bf16_amp"], 'learning_rate = 0.0003\noptimizer = "adam"')
    assert verdicts(found) == {"bf16": "harmful", "bf16_amp": "no harm seen"}
    assert 30 <= found["bf16"].from_step <= 200  # type: ignore[union-attr, operator]


@pytest.mark.whole
def test_recipes_that_do_no_harm_are_not_accused(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """`again` is fp32 in another order of operations."""
    chosen = precision.wants_onednn

    def wants_onednn(cell: Cell) -> bool:
        return cell.precision.name != "again" and chosen(cell)

    monkeypatch.setattr(precision, "wants_onednn", wants_onednn)
    recipes = ["fp32", "bf16_amp", "fp16_amp_scaled", "again"]
    found, results = begin(recipes, "learning_rate = 0.05", more='[precision.again]\nloss_scale = "none"')
    assert verdicts(found) == dict.fromkeys(recipes[1:], "no harm seen")
    losses = results.cells.pivot_table("start_loss", "seed", "recipe", observed=True)
    assert (losses["again"] != losses["fp32"]).all(), "bit-equal, so another order was not tried"


@pytest.mark.whole
def test_gradients_that_underflow_under_too_small_a_scale_are_harm(begin: Begin) -> None:
    more = '[precision.small]\ncompute = "fp16"\nloss_scale = "static:2"\n'
    more += '[precision.large]\ncompute = "fp16"\nloss_scale = "dynamic:init=16777216"'
    fixed = f"learning_rate = {0.05 / Faint.SHARE}\nweight_decay = 0.0"
    found, _ = begin(["fp32", "fp16_amp", "small", "large"], fixed, model="Faint", more=more)
    expected = {"fp16_amp": "harmful", "small": "harmful", "large": "no harm seen"}
    assert verdicts(found) == expected


@pytest.mark.whole
def test_an_epsilon_that_is_zero_in_fp16_breaks_the_loss_and_is_never_called_harmless(begin: Begin) -> None:
    """Adam's 1e-8, in unfused pure fp16: the weights are not finite after step 1."""
    fixed = 'learning_rate = 0.001\noptimizer = "adam"\noptimizer_impl = "foreach"'
    found, results = begin(["fp32", "fp16", "bf16_amp"], fixed, steps=100)
    assert verdicts(found)["bf16_amp"] == "no harm seen"
    assert verdicts(found).get("fp16", "none") in ("harmful", "none")
    own = results.cells[results.cells["recipe"] == "fp16"]
    assert set(own["status"]) == {"diverged"}
    assert set(own["diverged_step"]) == {2}
