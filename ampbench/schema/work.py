"""What a step was spent on: its phases, its operations, its share of the board."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPhases:
    """Where the time of a step goes: medians over a few untimed steps; null without the pass `phases`."""

    data_ms: float | None = column(
        "ms",
        "data",
        "Of a step, until the batch is there: gathered, augmented, normalised",
    )
    forward_ms: float | None = column("ms", "forward", "Of a step: network and loss")
    backward_ms: float | None = column("ms", "backward", "Of a step: gradients")
    update_ms: float | None = column("ms", "update", "Of a step: unscaling, optimizer and the scaler's own update")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What a step waits for."""

    kernel_ms: float | None = column(
        "ms",
        "kernels",
        "Of a step, sum over its CUDA kernels in the profiler, medians of three; null on a CPU",
    )
    matmul_conv_share: float | None = column(
        "",
        "products",
        "Of the time in kernels (operators on a CPU; medians of three steps), that of matrix products and convolutions",
    )
    bound: str | None = column("", "bound by", "What a step waits for most: input, launch, compute or memory")
    bound_because: str | None = column("", "evidence", "For it, in words")


@dataclass(frozen=True, kw_only=True, slots=True)
class Operations:
    """Operations by shape, a multiply-add as two."""

    forward_flops: int | None = column(
        "",
        "operations forward",
        "Of the products for one image, counted, not measured",
    )
    backward_flops: int | None = column("", "operations backward", "Likewise; the image itself needs no gradient")


@dataclass(frozen=True, kw_only=True, slots=True)
class Peaks:
    """The most operations a second that the board does, in the dtype of the recipe."""

    vendor_peak_tflops: float | None = column(
        "TFLOP/s",
        "vendor's peak",
        "Dense, of the board in the dtype that the recipe's products run in; null where none is known",
    )
    measured_peak_tflops: float | None = column(
        "TFLOP/s",
        "measured peak",
        "Of one large product or convolution of random numbers in that dtype, here; null without the pass `roofline`",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Utilisation:
    """The share of it that a training uses."""

    tflops: float | None = column(
        "TFLOP/s",
        "operations a second",
        "Counted operations of an image times the throughput, of one board",
    )
    mfu_vendor: float | None = column("", "share of the vendor's peak", "Operations a second over the vendor's peak")
    mfu_measured: float | None = column("", "share of the measured peak", "Operations a second over the measured peak")
