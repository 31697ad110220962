"""A precision recipe is a row of data, never a branch in the training loop.

Three facts describe how a network is trained in low precision (Micikevicius et al., 2018,
"Mixed Precision Training", sections 3.1-3.3): the dtype the *weights* are kept in, the dtype the
matrix products and convolutions *compute* in, and the *loss scale* that keeps small gradients
representable. On NVIDIA GPUs two switches join them: whether fp32 products may run in TF32, and whether Linear layers
multiply in fp8.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

Dtype = Literal["fp32", "fp16", "bf16"]
Rounding = Literal["nearest", "stochastic", "kahan"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LossScale:
    """How the loss is multiplied before backward, and the gradients divided before the update.

    A dynamic scale grows while nothing overflows and backs off when something does (Micikevicius et al., 2018,
    section 3.2; torch.amp.GradScaler, whose defaults are ours).
    """

    mode: Literal["none", "dynamic", "static"]
    factor: float = 1.0
    """The factor of the first step; a static scale keeps it."""
    growth: float = 2.0
    """A dynamic scale is multiplied by this after `interval` steps in a row without an overflow."""
    backoff: float = 0.5
    """A dynamic scale is multiplied by this when a step is skipped for an overflow."""
    interval: int = 2000
    """Steps."""

    @classmethod
    def parse(cls, text: str) -> LossScale:
        """Read `none`, `dynamic`, `dynamic:init=1024,growth=2,backoff=0.5,interval=50` or `static:N`.

        Raises:
            ValueError: another word; a static N that is no power of two from 1 to 2^15 (a power of two changes no
                mantissa bit, and 2^16 is already infinite in fp16); a dynamic setting that is no number, or lets
                the scale shrink where it should grow.
        """
        mode, colon, rest = text.partition(":")
        if text == "none":
            return cls(mode="none")
        if mode == "dynamic":
            return cls._dynamic(rest if colon else None)
        if mode != "static" or not re.fullmatch("[0-9]{1,9}", rest):
            raise ValueError(
                "is no loss scale: say 'none', 'dynamic', 'dynamic:init=1024,interval=50' or 'static:N', "
                "as in 'static:1024'"
            )
        factor = int(rest)
        if not 1 <= factor <= 2**15 or factor & (factor - 1):
            near = 2 ** min(15, max(0, round(math.log2(max(factor, 1)))))
            raise ValueError(
                f"is no power of two from 1 to 32768, and would round the gradients; the nearest is 'static:{near}'"
            )
        return cls(mode="static", factor=float(factor))

    @classmethod
    def _dynamic(cls, settings: str | None) -> LossScale:
        given: dict[str, float] = {}
        for setting in settings.split(",") if settings is not None else ():
            key, _, number = setting.strip().partition("=")
            if key not in DYNAMIC_DEFAULTS or key in given:
                what = "twice" if key in given else "no setting of a dynamic loss scale"
                raise ValueError(f"names {key!r}, {what}; there are {', '.join(DYNAMIC_DEFAULTS)}")
            try:
                given[key] = float(number)
            except ValueError:
                raise ValueError(f"sets {key} to {number!r}, which is no number; write {key}=NUMBER") from None
        values = DYNAMIC_DEFAULTS | given
        for key, good, rule in (
            (
                "init",
                1 <= values["init"] <= 2.0**24 and math.log2(values["init"]).is_integer(),
                "a power of two from 1 to 2^24",
            ),
            ("growth", 1 < values["growth"] <= 1024, "more than 1, or the scale would never rise (2 is usual)"),
            (
                "backoff",
                0 < values["backoff"] < 1,
                "between 0 and 1, or an overflow would repeat for ever (0.5 is usual)",
            ),
            (
                "interval",
                1 <= values["interval"] < 2**31 and values["interval"].is_integer(),
                "a whole number of steps from 1",
            ),
        ):
            if not good:
                raise ValueError(f"sets {key} to {values[key]:g}; it should be {rule}")
        return cls(
            mode="dynamic",
            factor=values["init"],
            growth=values["growth"],
            backoff=values["backoff"],
            interval=int(values["interval"]),
        )


DYNAMIC_DEFAULTS: dict[str, float] = {"init": 2.0**16, "growth": 2.0, "backoff": 0.5, "interval": 2000.0}
"""torch's GradScaler's own."""


def _loss_scale_text(text: str) -> str:
    LossScale.parse(text)
    return text


LossScaleText = Annotated[str, AfterValidator(_loss_scale_text)]

NAME = re.compile(r"[A-Za-z0-9_.+-]{1,60}")
"""Of a recipe: it becomes part of the name of a folder, of columns and of legends."""


def _recipe_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError("is no name for a recipe: use 1 to 60 of the letters a-z, A-Z, digits and _ . + -")
    return name


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One way to place fp32, fp16, bf16 and fp8 in a training."""

    name: Annotated[str, AfterValidator(_recipe_name)]
    """The word in experiment files, tables and plots."""
    weights: Dtype = "fp32"
    """Of parameters, gradients, momentum and BatchNorm statistics."""
    compute: Dtype = "fp32"
    """Of products and convolutions; where it differs from `weights`, autocast chooses operator by operator."""
    tf32: bool = False
    """Whether fp32 products and convolutions may run in TF32 (NVIDIA Ampere and newer)."""
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
"""The built-in recipes, in the order of every table and legend."""


def why_refused(recipe: Recipe, loss_scale: str, optimizer_impl: str) -> str | None:
    """Say why this combination is no experiment, or None if it is one.

    Refused is what torch would ignore in silence or compute wrongly under a label that says otherwise.
    What a *machine* cannot do is no error of the request: that becomes a row with status `unsupported`.
    """
    scale = LossScale.parse(loss_scale)
    if recipe.fp32_update and recipe.weights == "fp32":
        what = "a master copy" if recipe.master_weights else f"{recipe.rounding} rounding"
        return f"fp32 weights need no {what.removeprefix('a ')}: drop it, or keep the weights in 16 bit"
    if recipe.master_weights and recipe.rounding != "nearest":
        return (
            f"an fp32 master copy loses no update, so {recipe.rounding} rounding would have nothing to save: "
            "keep one of them"
        )
    if recipe.rounding == "stochastic" and recipe.weights != "bf16":
        return "stochastic rounding is for bf16 weights; use rounding = 'kahan' or master_weights = true in fp16"
    if recipe.autocast and recipe.weights != "fp32":
        return (
            f"autocast to {recipe.compute} over {recipe.weights} weights is not mixed precision: "
            f"keep weights = 'fp32', or compute in {recipe.weights}"
        )
    if recipe.tf32 and recipe.weights != "fp32":
        return f"TF32 acts on fp32 operators only, and pure {recipe.weights} has none: drop tf32"
    if recipe.fp8 and recipe.compute != "bf16":
        return (
            f"fp8 products of Linear layers go with bf16 everywhere else, not with {recipe.compute}: compute = 'bf16'"
        )
    if scale.mode == "none":
        return None
    if recipe.compute == "fp32":
        return "loss scaling has nothing to scale in fp32: its gradients do not underflow; drop the loss scale"
    if recipe.weights == "bf16":
        return "loss scaling is pointless in pure bf16: it has the exponent range of fp32; drop the loss scale"
    if recipe.fp32_update:
        return None
    if recipe.weights == "fp16" and scale.mode == "dynamic":
        return (
            "a dynamic loss scale needs fp32 gradients (torch: 'Attempting to unscale FP16 gradients'); "
            "use 'static:N', master_weights = true, or weights = 'fp32'"
        )
    if recipe.weights == "fp16" and optimizer_impl != "fused":
        return (
            "a loss scale on fp16 weights must be divided out in fp32, which only fused optimizers do; "
            "use optimizer_impl = 'fused', or master_weights = true"
        )
    return None
