"""How a step spends its time: its phases, its operations, its share of the board's peak."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column, columns_of


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
class WorkByKind:
    """The time of a step by kind of work: the parts sum to `step_ms`; null without a profile of the steps.

    On CUDA the parts are the kernels of a step under the profiler, and what is left of the step is idle. On a CPU the
    profiler slows every operator down, so only the shares come from it: they divide the phases of steps that it did
    not slow down.
    """

    work_matmul_conv_ms: float | None = column(
        "ms", "matrix products and convolutions", "Time of a step in matrix products, convolutions and attention"
    )
    work_normalisation_ms: float | None = column(
        "ms", "normalisation", "Time of a step in batch, layer and other normalisation, forward and backward"
    )
    work_elementwise_ms: float | None = column(
        "ms",
        "element-wise",
        "Time of a step in all other arithmetic of the network and the loss: activations, sums, pooling, reductions",
    )
    work_cast_ms: float | None = column("ms", "casts", "Time of a step in copies of the network that change the dtype")
    work_copy_ms: float | None = column(
        "ms", "copies", "Time of a step in copies of the network that keep the dtype, such as layout changes, and fills"
    )
    work_optimizer_ms: float | None = column(
        "ms",
        "optimizer and scaler",
        "Time of a step in clipping, unscaling, the optimizer, the scaler's own update and moving averages",
    )
    work_data_ms: float | None = column(
        "ms", "data", "Time of a step until the batch is ready: waiting, gathering, augmentation, normalisation"
    )
    work_other_ms: float | None = column(
        "ms", "other", "Time of a step in kernels of unknown kind; on a CPU in compiled code, whose parts are not seen"
    )
    work_idle_ms: float | None = column(
        "ms",
        "idle",
        "Time of a step in which no kernel runs, or only communication; on a CPU outside of operators, as in Python",
    )
    profiled_step_ms: float | None = column(
        "ms", "profiled step", "Wall time of the same step under the profiler, for comparison; median of three"
    )
    longest_work: str | None = column(
        "",
        "longest kernels",
        "The five kernels (operators on a CPU) of forward and backward that take the most time, as name: ms; name: ms",
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


KINDS = tuple(one for one in columns_of(WorkByKind) if one.name.startswith("work_"))
"""The parts of a step by kind of work, in the order of a waterfall."""
