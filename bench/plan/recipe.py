"""A precision recipe is a row of data, never a branch in the training loop.

Three facts describe how a network is trained in low precision (Micikevicius et al., 2018,
"Mixed Precision Training", sections 3.1-3.3): the dtype the *weights* are kept in, the dtype the
matrix products and convolutions *compute* in, and the *loss scale* that keeps small gradients
representable. On NVIDIA GPUs there are two switches more: whether fp32 matrix products and convolutions may run in
TF32, and whether Linear layers multiply in fp8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from ampbench.bench.plan.loss_scale import LossScaleText

Dtype = Literal["fp32", "fp16", "bf16"]
Rounding = Literal["nearest", "stochastic", "kahan"]

NAME = re.compile(r"[A-Za-z0-9_.+-]{1,60}")
"""Of a recipe: it becomes part of the name of a folder, of columns and of legends."""


def _recipe_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("is no name for a recipe: use 1 to 60 of the letters a-z, A-Z, digits and _ . + -")
    return name


LAYERS = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,200}")
"""Of one entry of `keep_fp32`."""


def _layers(pattern: str) -> str:
    if not LAYERS.fullmatch(pattern):
        raise ValueError("names no layers: write a class as in 'BatchNorm2d', a name as in 'head', or 'blocks.*.norm'")
    return pattern


def _once_each(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if twice := next((pattern for i, pattern in enumerate(patterns) if pattern in patterns[:i]), None):
        raise ValueError(f"has {twice!r} twice; drop one of them")
    return patterns


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One way to place fp32, fp16, bf16 and fp8 in a training."""

    name: Annotated[str, AfterValidator(_recipe_name)]
    """The word in experiment files, tables and plots."""
    weights: Dtype = "fp32"
    """Of parameters, gradients, momentum and BatchNorm statistics."""
    compute: Dtype = "fp32"
    """Of matrix products and convolutions; where it differs from `weights`, autocast chooses operator by operator."""
    tf32: bool = False
    """Whether fp32 matrix products and convolutions may run in TF32 (NVIDIA Ampere and newer)."""
    fp8: bool = False
    """Whether Linear layers multiply in fp8 (NVIDIA Ada, Hopper and newer), everything else in bf16."""
    loss_scale: LossScaleText = "none"
    """`none`, `dynamic` or `static:N`; a cell may say another."""
    master_weights: bool = False
    """Whether the optimizer updates an fp32 copy of 16-bit weights (Micikevicius et al., 2018, section 3.1)."""
    rounding: Rounding = "nearest"
    """Of updated 16-bit weights without a master copy: to nearest, stochastic (up or down with a probability that
    makes the mean exact), or to nearest with the error carried to the next step in a 16-bit Kahan term
    (Zamirai et al., 2020, "Revisiting BFloat16 Training", section 4)."""

    keep_fp32: Annotated[tuple[Annotated[str, AfterValidator(_layers)], ...], AfterValidator(_once_each)] = ()
    """Layers whose weights and arithmetic stay in fp32, with all that is inside them: names of classes, or patterns of
    names (bench/train/precision/islands.py). Under a recipe with `tf32` their products may run in TF32 as all fp32 ones
    do."""

    @property
    def autocast(self) -> bool:
        """Whether torch.autocast is on."""
        return self.compute != self.weights

    @property
    def needs_gpu(self) -> bool:
        """Whether the recipe asks for something that no CPU has."""
        return self.tf32 or self.fp8

    @property
    def fp32_update(self) -> bool:
        """Whether the optimizer works on fp32 copies of 16-bit weights, for the step or for good."""
        return self.master_weights or self.rounding != "nearest"

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that differ from their default: a new field changes no recipe's identity."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}

    def __str__(self) -> str:
        return self.name


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(name="fp32"),
        Recipe(name="tf32", tf32=True),
        Recipe(name="fp16", weights="fp16", compute="fp16"),
        Recipe(name="bf16", weights="bf16", compute="bf16"),
        Recipe(name="fp16_scaled", weights="fp16", compute="fp16", loss_scale="static:1024"),
        Recipe(name="fp16_amp", compute="fp16"),
        Recipe(name="fp16_amp_scaled", compute="fp16", loss_scale="dynamic"),
        Recipe(name="bf16_amp", compute="bf16"),
        Recipe(name="bf16_amp_scaled", compute="bf16", loss_scale="dynamic"),
        Recipe(name="fp8", compute="bf16", fp8=True),
    )
}
"""The built-in recipes, in the order of `ampbench.schema.recipes.RECIPE_NAMES`."""
