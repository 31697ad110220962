"""Columns of a record about memory, in bytes, by a named instrument."""

from __future__ import annotations

from ampbench.bench.store.columns.column import INT, TEXT, Column

MEMORY: tuple[Column, ...] = (
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
    Column("data_bytes", INT, "bytes", "data", "Of the images and labels that are on the device throughout"),
    Column(
        "predicted_peak_bytes",
        INT,
        "bytes",
        "predicted peak",
        "Of two steps of fake tensors, without data, workspaces, rounding and the gradients on their way between GPUs; "
        "null without the pass `memory`",
    ),
    Column(
        "memory_note",
        TEXT,
        "",
        "note on the memory",
        "What of a pass over the memory this device cannot do, and what is there instead; null if nothing",
    ),
)
