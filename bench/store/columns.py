"""Every column that is ever written: its type, unit, label and meaning, in one table per file.

A measurement that is missing is null, never 0 or -1.
"""

from __future__ import annotations

import dataclasses
import functools
import typing

import pyarrow as pa

from bench.plan.cell import Cell
from bench.store.column import FLAG, INT, REAL, TEXT, Column
from bench.store.trace_columns import BLOCKS, EPOCHS, EXPONENTS, ID, LAYERS, STEPS

METHOD_VERSION = 1
"""Raised whenever a number is taken differently, so that old rows are not compared in silence."""

STATUSES = (
    "ok",
    "oom",
    "diverged",
    "timeout",
    "unsupported",
    "throttled",
    "crashed",
    "failed",
    "excluded",
)


def _meaning(name: str) -> str:
    return f"`Cell.{name}` as it ran"


def _settings() -> tuple[Column, ...]:
    """Return a column for every field of `Cell`, its type read from the annotation."""
    hints = typing.get_type_hints(Cell)
    types = {int: INT, float: REAL, bool: FLAG}
    columns = []
    for f in dataclasses.fields(Cell):
        kind = hints[f.name]
        listed = typing.get_origin(kind) is tuple
        element = typing.get_args(kind)[0] if listed else kind
        base = types.get(element, TEXT)
        columns.append(
            Column(f.name, pa.list_(base) if listed else base, "", f.name.replace("_", " "), _meaning(f.name))
        )
    return tuple(columns)


CELLS: tuple[Column, ...] = (
    ID,
    Column("group_id", TEXT, "", "group", "The same for cells that differ only in precision and round"),
    Column("status", TEXT, "", "status", f"One of {' '.join(STATUSES)}"),
    Column("because", TEXT, "", "because", "Why the status is not ok, in words; null when it is"),
    *_settings(),
    Column("study_name", TEXT, "", "S3 name", "Name of the run in study S3"),
    Column("run_folder", TEXT, "", "folder", "Below runs/; null for an excluded cell"),
    # What the precision did
    Column("weights_dtype", TEXT, "", "weights", "Dtype that the recipe keeps the weights in"),
    Column("compute_dtype", TEXT, "", "compute", "Dtype that the recipe's products run in"),
    Column("update", TEXT, "", "update", "Of 16-bit weights: nearest, master (an fp32 copy), kahan or stochastic"),
    Column(
        "dtype_proof",
        TEXT,
        "",
        "dtypes seen",
        "Dtypes of the inputs of products in step 1, by operator, and of the outputs of layers",
    ),
    Column(
        "fp32_errors",
        TEXT,
        "",
        "errors of fp32 products",
        "Relative, of a product and a convolution in a recipe that computes in fp32: 2^-22 is IEEE, 2^-11 TF32",
    ),
    Column("kernels", TEXT, "", "kernels", "CUDA kernels that multiplied in a step after the last, and their dtype"),
    Column(
        "fp32_precision",
        TEXT,
        "",
        "fp32 precision",
        "Effective torch fp32_precision of CUDA matmul, conv, rnn and CPU products",
    ),
    Column("num_steps", INT, "", "steps", "Optimizer steps attempted"),
    Column("num_skipped", INT, "", "skipped steps", "Steps that the loss scaler skipped after an overflow"),
    Column(
        "final_loss_scale",
        REAL,
        "",
        "final loss scale",
        "Factor on the loss after the last step; null without a scaler",
    ),
    Column("num_growths", INT, "", "loss scale growths", "Steps after which the loss scale rose"),
    Column("num_backoffs", INT, "", "loss scale backoffs", "Steps after which the loss scale fell"),
    Column("min_loss_scale", REAL, "", "least loss scale", "Of all steps; null without a scaler"),
    Column("max_loss_scale", REAL, "", "largest loss scale", "Of all steps; null without a scaler"),
    Column("wasted_images", INT, "images", "wasted images", "In skipped steps; null without a scaler"),
    Column("optimizer_dtypes", TEXT, "", "optimizer dtypes", "Of the parameters that the optimizer updates"),
    Column("diverged_step", INT, "", "diverged at step", "First with a loss that is not finite; null if none was"),
    Column("diverged_loss", TEXT, "", "diverged loss", "Of that step: nan, inf or -inf"),
    Column("diverged_layer", TEXT, "", "layer that went first", "In a replay: the first with a non-finite tensor"),
    Column("diverged_in", TEXT, "", "where it went", "forward, backward or update"),
    # Speed
    Column(
        "images_per_s",
        REAL,
        "images/s",
        "throughput",
        "Median over the steady blocks without a skipped step, evaluation off the clock",
    ),
    Column("images_per_s_q1", REAL, "images/s", "throughput, lower quartile", "Of the same blocks"),
    Column("images_per_s_q3", REAL, "images/s", "throughput, upper quartile", "Of the same blocks"),
    Column("num_blocks", INT, "", "timing samples", "Blocks the throughput rests on"),
    Column("step_ms", REAL, "ms", "step time", "Batch size over throughput"),
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
        "Share of the timed blocks' wall time beyond their device time, which spans idle gaps between kernels",
    ),
    # Time, apart
    Column("startup_s", REAL, "s", "start-up", "From the worker's first line to the first step: data, model, device"),
    Column("train_s", REAL, "s", "training", "Wall time of all steps, evaluation off the clock"),
    Column("evaluate_s", REAL, "s", "evaluation", "Wall time of all evaluations"),
    Column("numerics_s", REAL, "s", "looks at layers", "Wall time of all of them; null without any"),
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
    # Memory
    Column(
        "memory_instrument",
        TEXT,
        "",
        "memory instrument",
        "cuda_allocator, or rss: the process's resident set, code and libraries included",
    ),
    Column(
        "startup_peak_bytes",
        INT,
        "bytes",
        "start-up peak memory",
        "Peak until warm-up ended, trial workspaces included",
    ),
    Column("steady_peak_bytes", INT, "bytes", "steady peak memory", "Peak over the training steps after warm-up"),
    Column(
        "peak_reserved_bytes",
        INT,
        "bytes",
        "peak reserved memory",
        "Held by the CUDA caching allocator until the first evaluation; null on a CPU",
    ),
    Column(
        "baseline_bytes", INT, "bytes", "baseline memory", "By the same instrument before the data and the model came"
    ),
    # Accuracy
    Column(
        "test_accuracy",
        REAL,
        "",
        "test accuracy",
        "Share of the test images after the final epoch; chance if the run diverged",
    ),
    Column(
        "best_test_accuracy",
        REAL,
        "",
        "best test accuracy",
        "Over the epochs: chosen on the test set, so no estimate of accuracy",
    ),
    Column("test_loss", REAL, "", "test loss", "Mean cross-entropy after the final epoch"),
    Column(
        "macro_precision",
        REAL,
        "",
        "macro precision",
        "Mean over classes after the final epoch, scikit-learn's zero_division=0",
    ),
    Column("macro_recall", REAL, "", "macro recall", "Likewise"),
    Column("macro_f1", REAL, "", "macro F1", "Likewise"),
    Column("num_parameters", INT, "", "parameters", "Trainable"),
    Column("num_train_images", INT, "", "training images", "In the data set"),
    Column("num_test_images", INT, "", "test images", "In the data set"),
    Column("num_classes", INT, "", "classes", "In the data set"),
    Column("data_sha256", TEXT, "", "data checksum", "Over the decoded pixels and labels of both splits"),
    # Where and when
    Column("board", TEXT, "", "board", "cpu, a simulated cpu:i/n, or the UUID of the GPU"),
    Column(
        "environment_id",
        TEXT,
        "",
        "environment",
        "Hash of machine, versions and method; rows that differ in it are not compared",
    ),
    Column("machine", TEXT, "", "machine", "GPU name, or CPU name and core count"),
    Column("driver", TEXT, "", "driver", "NVIDIA driver; null on a CPU"),
    Column("cuda", TEXT, "", "CUDA", "That torch was built with; null on a CPU"),
    Column("cudnn", TEXT, "", "cuDNN", "That torch runs; null on a CPU"),
    Column("torch", TEXT, "", "torch", "Version"),
    Column("python", TEXT, "", "Python", "Version"),
    Column("cpu", TEXT, "", "CPU", "Model name"),
    Column("num_cores", INT, "", "CPU cores", "That the process may use"),
    Column("threads_used", INT, "", "threads", "torch.get_num_threads() in the worker"),
    Column("power_cap_w", REAL, "W", "power cap", "Enforced limit of the board; null where NVML does not say"),
    Column("switches", TEXT, "", "switches", "Environment variables that change speed or numerics, as JSON"),
    Column("git_commit", TEXT, "", "commit", "Of ampbench; null outside a checkout"),
    Column("git_dirty", FLAG, "", "uncommitted changes", "Whether tracked files differed from the commit"),
    Column("command", TEXT, "", "command", "That started the run"),
    Column("order", INT, "", "order", "Place in the plan's order of execution"),
    Column("started_at", pa.timestamp("ms", tz="UTC"), "", "started", "When the worker began"),
    Column("method_version", INT, "", "method", "Of the way numbers are taken"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "cells": CELLS,
    "epochs": EPOCHS,
    "steps": STEPS,
    "blocks": BLOCKS,
    "layers": LAYERS,
    "exponents": EXPONENTS,
}
"""Stem of the joined file -> its columns. In a run's folder `cells` has one row and is called `record`."""


@functools.cache
def schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table."""
    return pa.schema([column.field for column in TABLES[table]])
