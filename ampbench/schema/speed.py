"""Time: the throughput with its samples, and every other duration by itself."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """The throughput, from the timed blocks of steps."""

    images_per_s: float | None = column(
        "images/s",
        "throughput",
        "Median over the steady blocks without a skipped step, evaluation off the clock",
    )
    no_speed_because: str | None = column(
        "",
        "why no throughput",
        "Reason in words, such as a skipped step in every block; null where there is a throughput",
    )
    images_per_s_q1: float | None = column("images/s", "throughput, lower quartile", "Over the same blocks")
    images_per_s_q3: float | None = column("images/s", "throughput, upper quartile", "Over the same blocks")
    num_blocks: int | None = column("", "timing samples", "Blocks over which the throughput is the median")
    num_outliers: int | None = column(
        "",
        "outliers",
        "Of these blocks, counted but not removed: modified z-score beyond 3.5 (Iglewicz & Hoaglin, 1993, section 3.3)",
    )
    step_ms: float | None = column("ms", "step time", "Global batch size over throughput")
    ci_share: float | None = column(
        "",
        "95 % interval",
        "Half-width over mean, of the block means within this process; it only decides when timing stops",
    )
    warmup_steps: int | None = column("", "warm-up steps", "Steps before the first timing sample")
    gap_share: float | None = column(
        "",
        "gap",
        "Share of the timed blocks' wall time beyond their device time, which includes idle gaps "
        "between kernels; 0 where the end of no block was waited for",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopping:
    """Why warm-up and timing ended."""

    timing_stop: str | None = column(
        "",
        "why timing stopped",
        "precise, noisy_stable, capped, or training (the whole training was timed)",
    )
    warmup_steady: bool | None = column(
        "",
        "steady",
        "Whether the speed was steady when warm-up ended; false when warm-up reached its time limit",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class WallTime:
    """Wall time of all other parts of a cell, and its interruptions."""

    startup_s: float | None = column(
        "s",
        "start-up",
        "From the worker's first line to the first step: data, model, device",
    )
    compile_s: float | None = column(
        "s",
        "compiling",
        "Wall time of the steps in which the compiler worked; null without any",
    )
    train_s: float | None = column("s", "training", "Wall time of all other steps, evaluation off the clock")
    evaluation_s: float | None = column("s", "evaluation", "Wall time of all evaluations")
    numerics_probe_s: float | None = column("s", "numerics probe", "Wall time of all its samples; null without any")
    start_steps_s: float | None = column(
        "s",
        "start of the training",
        "Wall time of the steps that [measure] start_steps adds after the timing; null without any",
    )
    passes_s: float | None = column(
        "s",
        "passes",
        "Wall time of the untimed passes after the last timed step",
    )
    checkpoint_s: float | None = column("s", "checkpoints", "Wall time of writing checkpoints; null without any")
    num_resumes: int | None = column("", "resumes", "Number of times that the training was resumed from a checkpoint")
    cell_s: float | None = column("s", "cell", "From the worker's first line to its record, over all resumes")
