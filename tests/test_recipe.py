from __future__ import annotations

import pytest

from bench.plan.recipe import RECIPES, LossScale, Recipe, why_refused


def test_the_nine_recipes_are_built_in_and_legal() -> None:
    assert list(RECIPES) == [
        *("fp32", "tf32", "fp16", "bf16", "fp16_scaled"),
        *("fp16_amp", "fp16_amp_scaled", "bf16_amp", "bf16_amp_scaled"),
    ]
    for recipe in RECIPES.values():
        assert why_refused(recipe, recipe.loss_scale, "fused") is None


def test_autocast_is_on_exactly_where_compute_differs_from_weights() -> None:
    assert {name for name, recipe in RECIPES.items() if recipe.autocast} == {
        *("fp16_amp", "fp16_amp_scaled", "bf16_amp", "bf16_amp_scaled"),
    }


@pytest.mark.parametrize(
    ("recipe", "scale", "impl", "reason"),
    [
        (RECIPES["fp32"], "dynamic", "fused", "nothing to scale"),
        (RECIPES["tf32"], "static:8", "fused", "nothing to scale"),
        (RECIPES["bf16"], "static:8", "fused", "exponent range"),
        (RECIPES["fp16"], "dynamic", "fused", "fp32 gradients"),
        (RECIPES["fp16_scaled"], "static:1024", "foreach", "only fused optimizers"),
        (Recipe(name="x", weights="fp16", compute="fp32"), "none", "fused", "not mixed precision"),
        (Recipe(name="x", weights="bf16", compute="fp16"), "none", "fused", "not mixed precision"),
        (Recipe(name="x", weights="fp16", compute="fp16", tf32=True), "none", "fused", "TF32 acts on fp32"),
    ],
)
def test_what_would_be_ignored_or_wrong_is_refused_with_its_reason(
    recipe: Recipe, scale: str, impl: str, reason: str
) -> None:
    assert reason in str(why_refused(recipe, scale, impl))


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
