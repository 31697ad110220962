"""A precision recipe is a row of data, never a branch in the training loop.

Three facts describe how a network is trained in low precision (Micikevicius et al., 2018,
"Mixed Precision Training", sections 3.1-3.3): the dtype the *weights* are kept in, the dtype the
matrix products and convolutions *compute* in, and the *loss scale* that keeps small gradients
representable. On NVIDIA GPUs a fourth joins them: whether fp32 products may run in TF32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

Dtype = Literal["fp32", "fp16", "bf16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LossScale:
    """How the loss is multiplied before backward, and the gradients divided before the update."""

    mode: Literal["none", "dynamic", "static"]
    """`dynamic` is torch's GradScaler with its defaults: 2^16, x2 after 2,000 good steps, x0.5 on overflow."""
    factor: float = 1.0
    """The factor of the first step; a static scale keeps it."""

    @classmethod
    def parse(cls, text: str) -> LossScale:
        """Read `none`, `dynamic` or `static:N`.

        Raises:
            ValueError: another word, or an N that is no power of two from 1 to 2^15. (A power of two
                changes no mantissa bit, and 2^16 is already infinite in fp16.)
        """
        if text == "none":
            return cls(mode="none")
        if text == "dynamic":
            return cls(mode="dynamic", factor=2.0**16)
        mode, _, number = text.partition(":")
        if mode != "static" or not number.isdigit():
            raise ValueError("is no loss scale: say 'none', 'dynamic' or 'static:N', as in 'static:1024'")
        factor = int(number)
        if not 1 <= factor <= 2**15 or factor & (factor - 1):
            near = 2 ** min(15, max(0, round(math.log2(max(factor, 1)))))
            raise ValueError(
                f"is no power of two from 1 to 32768, and would round the gradients; the nearest is 'static:{near}'"
            )
        return cls(mode="static", factor=float(factor))


def _loss_scale_text(text: str) -> str:
    LossScale.parse(text)
    return text


LossScaleText = Annotated[str, AfterValidator(_loss_scale_text)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One way to place fp32, fp16 and bf16 in a training."""

    name: str
    """The word in experiment files, tables and plots."""
    weights: Dtype = "fp32"
    """Of parameters, gradients, momentum and BatchNorm statistics."""
    compute: Dtype = "fp32"
    """Of products and convolutions; where it differs from `weights`, autocast chooses operator by operator."""
    tf32: bool = False
    """Whether fp32 products and convolutions may run in TF32 (NVIDIA Ampere and newer)."""
    loss_scale: LossScaleText = "none"
    """`none`, `dynamic` or `static:N`; a cell may say another."""

    @property
    def autocast(self) -> bool:
        """Whether torch.autocast is on."""
        return self.compute != self.weights

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
    )
}
"""The built-in recipes, in the order of every table and legend."""


def why_refused(recipe: Recipe, loss_scale: str, optimizer_impl: str) -> str | None:
    """Say why this combination is no experiment, or None if it is one.

    Refused is what torch would ignore in silence or compute wrongly under a label that says otherwise.
    What a *machine* cannot do is no error of the request: that becomes a row with status `unsupported`.
    """
    scale = LossScale.parse(loss_scale)
    if recipe.autocast and recipe.weights != "fp32":
        return (
            f"autocast to {recipe.compute} over {recipe.weights} weights is not mixed precision: "
            f"keep weights = 'fp32', or compute in {recipe.weights}"
        )
    if recipe.tf32 and recipe.weights != "fp32":
        return f"TF32 acts on fp32 operators only, and pure {recipe.weights} has none: drop tf32"
    if scale.mode == "none":
        return None
    if recipe.compute == "fp32":
        return "loss scaling has nothing to scale in fp32: its gradients do not underflow; drop the loss scale"
    if recipe.weights == "bf16":
        return "loss scaling is pointless in pure bf16: it has the exponent range of fp32; drop the loss scale"
    if recipe.weights == "fp16" and scale.mode == "dynamic":
        return (
            "a dynamic loss scale needs fp32 gradients (torch: 'Attempting to unscale FP16 gradients'); "
            "use 'static:N', or weights = 'fp32'"
        )
    if recipe.weights == "fp16" and optimizer_impl != "fused":
        return (
            "a loss scale on fp16 weights must be divided out in fp32, which only fused optimizers do; "
            "use optimizer_impl = 'fused'"
        )
    return None
