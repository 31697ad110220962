"""Columns of a record that say on what, from what and when it was made."""

from __future__ import annotations

import pyarrow as pa

from ampbench.bench.store.columns.column import FLAG, INT, REAL, TEXT, Column

ORIGIN: tuple[Column, ...] = (
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
    Column(
        "passes_failed",
        TEXT,
        "",
        "passes that failed",
        "What is not the measurement, as a look at the layers, and did not work, each with its reason; null if all did",
    ),
    Column(
        "checkpoint_note",
        TEXT,
        "",
        "checkpoint not written",
        "When a checkpoint could not be written first, where and why, as on a full disk; null if all could",
    ),
    Column("weights_note", TEXT, "", "weights not written", "Likewise of best.pt and model_final.pt"),
    Column("order", INT, "", "order", "Place in the plan's order of execution"),
    Column("started_at", pa.timestamp("ms", tz="UTC"), "", "started", "When the worker began"),
    Column("method_version", INT, "", "method", "Of the way numbers are taken"),
)
