"""What the precision did: its dtypes, its loss scale, where it broke."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class DtypesSeen:
    """In which dtypes a cell really computed."""

    dtype_check: str | None = column(
        "",
        "dtypes seen",
        "Dtypes of the inputs of products in step 1, by operator, and of the outputs of layers",
    )
    fp32_errors: str | None = column(
        "",
        "errors of fp32 products",
        "Relative, of a product and a convolution in a recipe that computes in fp32: 2^-22 is IEEE, 2^-11 TF32",
    )
    kernels: str | None = column(
        "",
        "kernels",
        "CUDA kernels that multiplied in steps after the last, one of each dtype first, as name:dtype; name:dtype",
    )
    model_changed: str | None = column(
        "",
        "settings that the model changed",
        "Of the process, by its factory, import or first step, and set back: default dtype, threads, seed, TF32 …",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossScaling:
    """The course of the loss scale, and the steps that it cost."""

    num_steps: int | None = column("", "steps", "Optimizer steps attempted")
    num_skipped: int | None = column("", "skipped steps", "Steps that the loss scaler skipped after an overflow")
    final_loss_scale: float | None = column(
        "",
        "final loss scale",
        "Factor on the loss after the last step; null without a scaler",
    )
    num_growths: int | None = column("", "loss scale growths", "Steps after which the loss scale rose")
    num_backoffs: int | None = column("", "loss scale backoffs", "Steps after which the loss scale fell")
    min_loss_scale: float | None = column("", "least loss scale", "Of all steps; null without a scaler")
    max_loss_scale: float | None = column("", "largest loss scale", "Of all steps; null without a scaler")
    wasted_images: int | None = column("images", "wasted images", "In skipped steps; null without a scaler")


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Where a training broke."""

    diverged_step: int | None = column(
        "",
        "diverged at step",
        "First with a loss that is not finite or a loss scale that collapsed; the last one where every step "
        "was skipped or the evaluation was not finite; else null",
    )
    diverged_loss: str | None = column("", "diverged loss", "Of that step, where it is not finite: nan, inf or -inf")
    diverged_layer: str | None = column(
        "",
        "layer that went first",
        "The first with a non-finite tensor, in a replay or in one more evaluation",
    )
    diverged_in: str | None = column("", "where it went", "forward, backward, update or evaluation")
