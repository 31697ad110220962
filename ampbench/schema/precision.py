"""What the precision did: the dtypes, the loss scale, and where the training diverged."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class DtypesSeen:
    """In which dtypes a cell really computed."""

    dtype_check: str | None = column(
        "",
        "dtypes seen",
        "Dtypes of the inputs of matrix products and convolutions in step 1, by operator, and of the outputs of layers",
    )
    fp32_errors: str | None = column(
        "",
        "errors in fp32",
        "Relative errors of a matrix product and a convolution under a recipe that computes in fp32: 2^-22 is IEEE, "
        "2^-11 is TF32",
    )
    kernels: str | None = column(
        "",
        "kernels",
        "CUDA kernels of matrix products and convolutions in steps after the timed ones, one of each dtype first, as "
        "name:dtype; name:dtype",
    )
    model_changed: str | None = column(
        "",
        "settings that the model changed",
        "Settings of the process that its factory, import or first step changed and that were restored: default "
        "dtype, threads, seed, TF32 …",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LossScaling:
    """The course of the loss scale, and the steps that were skipped for it."""

    num_steps: int | None = column("", "steps", "Optimizer steps attempted")
    num_skipped: int | None = column("", "skipped steps", "Steps that the loss scaler skipped after an overflow")
    final_loss_scale: float | None = column(
        "",
        "final loss scale",
        "Factor by which the loss is multiplied after the last step; null without a scaler",
    )
    num_growths: int | None = column("", "loss scale growths", "Steps after which the loss scale rose")
    num_backoffs: int | None = column("", "loss scale backoffs", "Steps after which the loss scale fell")
    min_loss_scale: float | None = column("", "least loss scale", "Of all steps; null without a scaler")
    max_loss_scale: float | None = column("", "largest loss scale", "Of all steps; null without a scaler")
    wasted_images: int | None = column("images", "wasted images", "In skipped steps; null without a scaler")


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Where a training diverged."""

    diverged_step: int | None = column(
        "",
        "diverged at step",
        "First step with a loss that is not finite or a loss scale that collapsed; the last step where every step "
        "was skipped or the evaluation was not finite; else null",
    )
    diverged_loss: str | None = column(
        "", "diverged loss", "Loss of that step where it is not finite: nan, inf or -inf"
    )
    diverged_layer: str | None = column(
        "",
        "diverged layer",
        "First layer with a non-finite tensor, in a replay or in one more evaluation",
    )
    diverged_in: str | None = column(
        "",
        "diverged in",
        "Where that tensor was: forward, input (made by code outside of all layers), backward, update, evaluation or "
        "evaluation input",
    )
