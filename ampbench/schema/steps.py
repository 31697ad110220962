"""The columns of `steps` and `blocks`: one row per step, and one per block of steps."""

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
        "Of this step's batch, fp32; with several GPUs, of the first one's part of the batch",
        bits=32,
    )
    train_accuracy: float | None = column(
        "",
        "training accuracy",
        "Share of this step's augmented batch that the network classified correctly before the update; with several "
        "GPUs, of the first one's part of the batch; null if its outputs are not logits",
        bits=32,
    )
    num_images: int = given("", "images", "In this step's batch, of all GPUs")
    loss_scale_factor: float | None = column(
        "", "loss scale", "Loss scale of this step; null without a scaler", bits=32
    )
    skipped: bool | None = column("", "skipped", "Whether the scaler skipped the update; null without a scaler")
    after_timing: bool | None = column(
        "",
        "after the timing",
        "Whether the timing had stopped: a further step, off the clock and in no block, for [measure] start_steps",
    )
    headroom_bits: float | None = column(
        "bits",
        "headroom",
        "Doublings of the loss scale until a gradient overflows, where the numerics probe sampled after this step",
        bits=32,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRow:
    """A block of consecutive steps: one timing sample."""

    block: int = given("", "block", "From 1")
    epoch: int = given("", "epoch", "From 1")
    num_steps: int = given("", "steps", "In the block")
    num_images: int = given("", "images", "In the block; the last batch of an epoch may be smaller")
    num_skipped: int = given("", "skipped steps", "In the block; a block with a skipped step is not a timing sample")
    device_s: float = given("s", "device time", "CUDA events at the block's borders; perf_counter on a CPU")
    wall_s: float = given("s", "wall time", "By perf_counter where the end was waited for, else by the device's clock")
    images_per_s: float = given("images/s", "throughput", "Images over device time")
    steady: bool = given("", "steady", "False during warm-up")
    invalid: str | None = column(
        "",
        "invalid",
        "How the board slowed it down, so that it is not a timing sample; else null",
    )
