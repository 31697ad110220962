"""Columns of a record about time: the throughput, what it rests on, and every other clock apart."""

from __future__ import annotations

from ampbench.bench.store.columns.column import FLAG, INT, REAL, TEXT, Column

SPEED: tuple[Column, ...] = (
    Column(
        "images_per_s",
        REAL,
        "images/s",
        "throughput",
        "Median over the steady blocks without a skipped step, evaluation off the clock",
    ),
    Column(
        "no_speed_because",
        TEXT,
        "",
        "why no throughput",
        "In words, where every block had a skipped step, say; null where there is a throughput",
    ),
    Column("images_per_s_q1", REAL, "images/s", "throughput, lower quartile", "Of the same blocks"),
    Column("images_per_s_q3", REAL, "images/s", "throughput, upper quartile", "Of the same blocks"),
    Column("num_blocks", INT, "", "timing samples", "Blocks the throughput rests on"),
    Column(
        "num_outliers",
        INT,
        "",
        "outliers",
        "Of these blocks, flagged and kept: modified z-score beyond 3.5 (Iglewicz & Hoaglin, 1993, section 3.3)",
    ),
    Column("step_ms", REAL, "ms", "step time", "Global batch size over throughput"),
    Column(
        "ci_share",
        REAL,
        "",
        "95 % interval",
        "Half-width over mean, of the block means within this process; it only stops timing",
    ),
    Column(
        "timing_stop",
        TEXT,
        "",
        "why timing stopped",
        "precise, noisy_stable, capped, or training (the run went to its end)",
    ),
    Column(
        "warmup_steady",
        FLAG,
        "",
        "steady",
        "Whether the speed was flat when warm-up ended; false when it ran into its cap",
    ),
    Column("warmup_steps", INT, "", "warm-up steps", "Steps before the first timing sample"),
    Column(
        "gap_share",
        REAL,
        "",
        "gap",
        "Share of the timed blocks' wall time beyond their device time, which spans idle gaps between kernels; "
        "0 where no block's end was waited for",
    ),
    # Time, apart
    Column("startup_s", REAL, "s", "start-up", "From the worker's first line to the first step: data, model, device"),
    Column(
        "compile_s", REAL, "s", "compiling", "Wall time of the steps in which the compiler worked; null without any"
    ),
    Column("train_s", REAL, "s", "training", "Wall time of all other steps, evaluation off the clock"),
    Column("evaluate_s", REAL, "s", "evaluation", "Wall time of all evaluations"),
    Column("numerics_s", REAL, "s", "looks at layers", "Wall time of all of them; null without any"),
    Column("afterwards_s", REAL, "s", "looks afterwards", "Wall time of the untimed passes after the last timed step"),
    Column("checkpoint_s", REAL, "s", "checkpoints", "Wall time of writing them; null without any"),
    Column("num_resumes", INT, "", "resumes", "Times that the training went on from a checkpoint"),
    Column("cell_s", REAL, "s", "cell", "From the worker's first line to its record, over all resumes"),
    Column("waited_s", REAL, "s", "waited", "For the board, while another worker held it"),
    Column(
        "time_to_accuracy_s",
        REAL,
        "s",
        "time to accuracy",
        "Training time until [measure] target_accuracy was first reached",
    ),
    Column("target_accuracy", REAL, "", "target accuracy", "[measure] target_accuracy"),
)
