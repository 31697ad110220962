"""How a step spends its time: its phases, its operations, its share of the board's peak."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPhases:
    """Where the time of a step goes: medians over a few untimed steps; null without the pass `phases`."""

    data_ms: float | None = column(
        "ms",
        "data",
        "Time of a step until the batch is ready: gathered, augmented, normalised",
    )
    forward_ms: float | None = column("ms", "forward", "Time of a step in the network and the loss")
    backward_ms: float | None = column("ms", "backward", "Time of a step in the gradients")
    update_ms: float | None = column(
        "ms", "update", "Time of a step in unscaling, the optimizer and the scaler's own update"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What a step waits for."""

    kernel_ms: float | None = column(
        "ms",
        "kernels",
        "Time of a step in CUDA kernels, by the profiler: sum over its kernels, medians of three steps; null on a CPU",
    )
    matmul_conv_share: float | None = column(
        "",
        "matmul and conv share",
        "Share of the time in kernels (operators on a CPU; medians of three steps) in matrix products and convolutions",
    )
    bound: str | None = column("", "bound by", "What a step waits for most: input, launch, compute or memory")
    bound_because: str | None = column("", "evidence", "Numbers that `bound` follows from, in words")


@dataclass(frozen=True, kw_only=True, slots=True)
class Operations:
    """Operations by shape, a multiply-add as two."""

    forward_flops: int | None = column(
        "",
        "operations forward",
        "Of the matrix products and convolutions for one image, counted, not measured",
    )
    backward_flops: int | None = column(
        "", "operations backward", "The same for the backward pass; the image itself needs no gradient"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Peaks:
    """The most operations a second that the board reaches, in the dtype of the recipe."""

    vendor_peak_tflops: float | None = column(
        "TFLOP/s",
        "vendor's peak",
        "Dense peak of the board in the dtype that the recipe multiplies in; null where it is not known",
    )
    measured_peak_tflops: float | None = column(
        "TFLOP/s",
        "measured peak",
        "Of one large matrix product or convolution of random numbers in that dtype, on this board; null without the "
        "pass `roofline`",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Utilisation:
    """The share of the peak that a training reaches."""

    tflops: float | None = column(
        "TFLOP/s",
        "operations a second",
        "Counted operations per image times the throughput, on one board",
    )
    mfu_vendor: float | None = column("", "share of the vendor's peak", "Operations a second over the vendor's peak")
    mfu_measured: float | None = column("", "share of the measured peak", "Operations a second over the measured peak")
