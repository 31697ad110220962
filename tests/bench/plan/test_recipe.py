from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.plan.refusals import why_no_recipe
from ampbench.schema.recipes import RECIPE_NAMES


def test_the_recipes_are_built_in_and_legal() -> None:
    assert list(RECIPES) == [
        *("fp32", "tf32", "fp16", "bf16", "fp16_scaled"),
        *("fp16_amp", "fp16_amp_scaled", "bf16_amp", "bf16_amp_scaled", "fp8"),
    ]
    assert tuple(RECIPES) == RECIPE_NAMES
    for recipe in RECIPES.values():
        assert why_no_recipe(recipe, recipe.loss_scale, "fused") is None


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_autocast_with_and_without_a_scaler_are_two_recipes_with_two_names(dtype: str) -> None:
    plain, scaled = RECIPES[f"{dtype}_amp"], RECIPES[f"{dtype}_amp_scaled"]
    assert (plain.loss_scale, scaled.loss_scale) == ("none", "dynamic")
    assert replace(scaled, name=plain.name, loss_scale="none") == plain
    cells = [Cell(model="LeNet", data="digits", precision=r, batch_size=8) for r in (plain, scaled)]
    assert cells[0].study_name + "-lossscale" == cells[1].study_name
    assert cells[0].cell_id != cells[1].cell_id


def test_autocast_is_on_exactly_where_compute_differs_from_weights() -> None:
    assert {name for name, recipe in RECIPES.items() if recipe.autocast} == {
        *("fp16_amp", "fp16_amp_scaled", "bf16_amp", "bf16_amp_scaled", "fp8"),
    }


@pytest.mark.parametrize(
    "text", ["", "on", "static", "static:", "static:-8", "static:1000", "static:65536", "static:0"]
)
def test_a_loss_scale_is_none_dynamic_or_a_power_of_two(text: str) -> None:
    with pytest.raises(ValueError, match=r"static:|power of two"):
        LossScale.parse(text)


def test_a_static_scale_names_the_nearest_power_of_two() -> None:
    with pytest.raises(ValueError, match="nearest is 'static:1024'"):
        LossScale.parse("static:1000")
    assert LossScale.parse("static:32768").factor == 2**15


def test_a_dynamic_scale_takes_its_four_settings() -> None:
    assert LossScale.parse("dynamic") == LossScale(mode="dynamic", factor=2.0**16)
    scale = LossScale.parse("dynamic:init=1024, growth=4,backoff=0.25,interval=50")
    assert scale == LossScale(mode="dynamic", factor=1024.0, growth=4.0, backoff=0.25, interval=50)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("growth=1", "growth to 1; it should be more than 1"),
        ("growth=0.5", "more than 1"),
        ("backoff=1", "between 0 and 1"),
        ("backoff=0", "between 0 and 1"),
        ("init=1000", "a power of two from 1"),
        ("init=0", "a power of two from 1"),
        ("init=-8", "a power of two from 1"),
        ("interval=0", "a whole number of steps"),
        ("interval=2.5", "a whole number of steps"),
        ("init=many", "'many', which is no number"),
        ("inti=8", "'inti', no setting of a dynamic loss scale; there are init, growth, backoff, interval"),
        ("init=8,init=16", "twice"),
        ("", "no setting"),
        ("growth=nan", "more than 1"),
    ],
)
def test_a_setting_that_makes_no_scale_is_refused_with_the_reason(settings: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        LossScale.parse(f"dynamic:{settings}")


def test_a_recipe_is_known_by_the_fields_that_it_sets() -> None:
    assert Recipe(name="x", weights="bf16", compute="bf16", rounding="kahan").settings == {
        "name": "x",
        "weights": "bf16",
        "compute": "bf16",
        "rounding": "kahan",
    }
