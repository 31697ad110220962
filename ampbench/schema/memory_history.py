"""The history of the allocator, condensed into rows; memory in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column, given

CATEGORIES = {
    "weights": "parameters of the model",
    "gradients": "gradients of weights",
    "optimizer state": "momentum, moments, fp32 copies of 16-bit weights",
    "autocast cache": "16-bit copies of fp32 weights",
    "activations": "made by the forward pass",
    "backward": "made by the backward pass: gradients of activations, and its workspace",
    "workspace": "freed within one line of Python, or a temporary of the optimizer",
    "cuBLAS workspace": "workspace of a cuBLAS handle, kept to the end of the process",
    "buffers": "buffers of the model",
    "data": "images and labels on the device",
    "before recording": "live before the recorded steps; nothing else is known of it",
    "other": "neither the stack nor the end of the allocation tells its purpose",
}
"""Category in allocations.parquet -> its meaning, in the order in which they are drawn.

Weights, buffers and data are known by their addresses; the other categories may be guesses.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AllocationRow:
    """The memory of one category and call site at one moment."""

    moment: str = given(
        "",
        "moment",
        "peak: when the recorded steps first held the most; oom: when an allocation first failed",
    )
    category: str = given(
        "",
        "category",
        f"One of: {'; '.join(f'{name}: {meaning}' for name, meaning in CATEGORIES.items())}",
    )
    call_site: str = given(
        "",
        "call site",
        "Innermost Python frame outside torch, as file:line function; autograd's own thread has none",
    )
    allocated_bytes: int = given(
        "bytes",
        "allocated memory",
        "Requested by tensors that were live at the moment; the rows of a moment sum to its level in memory",
    )
    num_allocations: int = given("", "allocations", "Number of allocations that the bytes consist of")
    static_known: bool = given(
        "",
        "addresses known",
        "Whether weights, gradients and optimizer state were identified by their addresses; else, as after an "
        "out-of-memory error, by their stacks alone, which puts some of them into other categories",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryRow:
    """The allocated memory after an event: of everything, or of one category."""

    event: int = given("", "event", "Number of allocations, frees and other events of the allocator so far")
    time_ms: float = given("ms", "time", "Since the first event, by the CPU's clock, which runs ahead of a GPU")
    allocated_bytes: int = given(
        "bytes",
        "allocated memory",
        "Requested by tensors, before rounding; highest and lowest point of each of 200 runs of events, and both ends",
    )
    category: str | None = column(
        "",
        "category",
        "Null: of all categories together. Else the part of that one, as in allocations, after the same events; on a "
        "GPU only",
    )
