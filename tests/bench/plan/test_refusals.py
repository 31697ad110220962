"""What a file may ask for in form and still not get: each rule, by a cell that breaks it alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.plan.refusals import RULES, why_no_recipe, why_refused

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "_recipe": ({"loss_scale": "dynamic"}, "loss scaling has nothing to scale in fp32"),
    "_model_args": ({"model_args": '{"dropout": 0.1}'}, "model_args: "),
    "_gpus": ({"sync_batchnorm": True}, "sync_batchnorm has nothing to synchronise"),
    "_environment": ({"environment": '{"NCCL_P2P_DISABLE": "1"}'}, "NCCL_P2P_DISABLE acts between GPUs"),
    "_compile": ({"compile": "default", "drop_last": False}, "a smaller last batch is compiled again"),
    "_milestones": (
        {"schedule": "warmup_multistep", "epochs": 9, "milestones": (3, 9)},
        "9 is never reached in 9 epochs",
    ),
    "_warmup": (
        {"schedule": "warmup_multistep", "epochs": 2, "warmup_epochs": 3, "milestones": (1,)},
        "3 do not end in 2 epochs",
    ),
    "_accumulation": ({"accumulation": 65}, "64 images have no 65 parts"),
}
"""Rule -> fields that break it, and words of what is said."""


def cell(**fields: Any) -> Cell:
    return Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64, **fields)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_refuses_what_breaks_it_and_it_alone(rule: Callable[[Cell], str | None]) -> None:
    fields, words = BROKEN[rule.__name__]
    broken = cell(**fields)
    assert words in str(rule(broken))
    assert why_refused(broken) == rule(broken)
    assert [other.__name__ for other in RULES if other(broken)] == [rule.__name__]
    assert why_refused(cell()) is None


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
        (Recipe(name="x", compute="fp16", fp8=True), "none", "fused", "bf16 everywhere else, not with fp16"),
        (Recipe(name="x", master_weights=True), "none", "fused", "fp32 weights need no master copy"),
        (Recipe(name="x", rounding="kahan"), "none", "fused", "fp32 weights need no kahan rounding"),
        (
            Recipe(name="x", weights="bf16", compute="bf16", master_weights=True, rounding="kahan"),
            *("none", "fused", "keep one of them"),
        ),
        (
            Recipe(name="x", weights="fp16", compute="fp16", rounding="stochastic"),
            *("none", "fused", "stochastic rounding is for bf16"),
        ),
        (Recipe(name="x", keep_fp32=("head",)), "none", "fused", "keep_fp32 has nothing to keep"),
        (
            Recipe(name="x", weights="fp16", compute="fp16", keep_fp32=("BatchNorm2d",)),
            *("dynamic", "fused", "fp32 gradients"),
        ),
    ],
)
def test_what_would_be_ignored_or_wrong_is_refused_with_its_reason(
    recipe: Recipe, scale: str, impl: str, reason: str
) -> None:
    assert reason in str(why_no_recipe(recipe, scale, impl))


def test_a_master_copy_makes_a_dynamic_scale_and_an_unfused_optimizer_legal_in_fp16() -> None:
    recipe = Recipe(name="x", weights="fp16", compute="fp16", master_weights=True)
    assert why_no_recipe(recipe, "dynamic", "foreach") is None
    assert why_no_recipe(dataclasses.replace(recipe, keep_fp32=("BatchNorm2d",)), "dynamic", "foreach") is None
