"""One row a step, and one a block of steps."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column, given


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRow:
    """A step."""

    step: int = given("", "step", "From 1")
    epoch: int = given("", "epoch", "From 1")
    loss: float = given(
        "",
        "training loss",
        "Of this step's batch, fp32; of several GPUs, the first one's share of it",
        bits=32,
    )
    train_accuracy: float | None = column(
        "",
        "training accuracy",
        "Share of this step's batch that the network got right before the step, augmented; of several GPUs, "
        "of the first one's share; null if its outputs are no logits",
        bits=32,
    )
    num_images: int = given("", "images", "In this step's batch, of all GPUs")
    loss_scale_factor: float | None = column("", "loss scale", "That this step used; null without a scaler", bits=32)
    skipped: bool | None = column("", "skipped", "Whether the scaler skipped the update; null without a scaler")
    headroom_bits: float | None = column(
        "bits",
        "headroom",
        "Doublings of the scale until a gradient overflows, where layers were looked at after this step",
        bits=32,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRow:
    """A block of consecutive steps: the sample of every speed."""

    block: int = given("", "block", "From 1")
    epoch: int = given("", "epoch", "From 1")
    num_steps: int = given("", "steps", "In the block")
    num_images: int = given("", "images", "In the block; the last batch of an epoch may be smaller")
    num_skipped: int = given("", "skipped steps", "In the block; such a block is no timing sample")
    device_s: float = given("s", "device time", "CUDA events at the block's borders; perf_counter on a CPU")
    wall_s: float = given("s", "wall time", "By perf_counter where its end was waited for, else by the device's clock")
    images_per_s: float = given("images/s", "throughput", "Images of the block over its device time")
    steady: bool = given("", "steady", "False during warm-up")
    invalid: str | None = column(
        "",
        "invalid",
        "How the board held it back, so that it is no timing sample; else null",
    )
