"""The columns of what the history of the allocator leaves, and of the memory that is plain arithmetic, in bytes."""

from __future__ import annotations

from ampbench.bench.store.columns.column import FLAG, INT, REAL, TEXT, Column
from ampbench.bench.store.columns.traces import ID

CATEGORIES = {
    "weights": "parameters of the model",
    "gradients": "of weights",
    "optimizer state": "momentum, moments, fp32 copies of 16-bit weights",
    "autocast cache": "16-bit copies of fp32 weights",
    "activations": "made by the forward pass",
    "backward": "made by the backward pass: gradients of activations, and its workspace",
    "cuBLAS workspace": "of a cuBLAS handle, kept to the end of the process",
    "workspace": "given back within one line of Python, or a temporary of the optimizer",
    "buffers": "of the model",
    "data": "images and labels on the device",
    "before recording": "live before the recorded steps, and nothing else is known",
    "other": "neither the stack nor the end of the allocation tells",
}
"""What allocations.parquet may hold. Weights, buffers, data are known by address; the others may be guesses."""

ALLOCATIONS: tuple[Column, ...] = (
    ID,
    Column(
        "moment",
        TEXT,
        "",
        "moment",
        "peak: when the recorded steps first held the most; oom: when an allocation first failed",
    ),
    Column("category", TEXT, "", "category", f"One of: {'; '.join(f'{k}: {v}' for k, v in CATEGORIES.items())}"),
    Column(
        "call_site",
        TEXT,
        "",
        "call site",
        "Innermost Python frame outside torch, as file:line function; autograd's own thread has none",
    ),
    Column(
        "allocated_bytes",
        INT,
        "bytes",
        "allocated memory",
        "Asked for by tensors that were live at the moment; the rows of a moment sum to its level in memory",
    ),
    Column("num_allocations", INT, "", "allocations", "That the bytes are made of"),
    Column(
        "static_known",
        FLAG,
        "",
        "addresses known",
        "Whether weights, gradients and optimizer state were told by their addresses; else, as in what ran out of "
        "memory, by stacks alone, which leave some of them in other categories",
    ),
)

MEMORY_TIMELINE: tuple[Column, ...] = (
    ID,
    Column("event", INT, "", "event", "Allocations, frees and other events of the allocator that had happened"),
    Column("time_ms", REAL, "ms", "time", "Since the first event, by the CPU's clock, which runs ahead of a GPU"),
    Column(
        "allocated_bytes",
        INT,
        "bytes",
        "allocated memory",
        "Asked for by tensors, before rounding; highest and lowest point of each of 200 runs of events, and the ends",
    ),
)

STATIC_SPLIT: tuple[Column, ...] = (
    Column("weights_bytes", INT, "bytes", "weights", "Of the model's parameters; shared memory counts once"),
    Column(
        "gradients_bytes",
        INT,
        "bytes",
        "gradients",
        "One for each parameter that the optimizer updates, of its size; by arithmetic",
    ),
    Column(
        "optimizer_bytes",
        INT,
        "bytes",
        "optimizer state",
        "State tensors after the first step, and fp32 copies of 16-bit weights",
    ),
    Column("buffers_bytes", INT, "bytes", "buffers", "Of the model, such as BatchNorm's running means"),
    Column(
        "autocast_cache_bytes",
        INT,
        "bytes",
        "autocast cache",
        "Copies of fp32 weights of convolutions and linear layers in the compute dtype; 0 without autocast",
    ),
    Column(
        "allocator_peak_bytes",
        INT,
        "bytes",
        "allocator peak",
        "Of torch's CPU allocator from before the model was built, by the profiler's memory events; null on a GPU",
    ),
    Column(
        "allocation_retries",
        INT,
        "",
        "allocation retries",
        "Times that the CUDA allocator emptied its cache to serve an allocation; null on a CPU",
    ),
    Column(
        "largest_free_block_bytes",
        INT,
        "bytes",
        "largest free block",
        "Held by the CUDA allocator and unused when the snapshot was taken; null without one",
    ),
)
