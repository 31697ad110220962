"""What the history of the allocator leaves, in bytes."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import given

CATEGORIES = {
    "weights": "parameters of the model",
    "gradients": "of weights",
    "optimizer state": "momentum, moments, fp32 copies of 16-bit weights",
    "autocast cache": "16-bit copies of fp32 weights",
    "activations": "made by the forward pass",
    "backward": "made by the backward pass: gradients of activations, and its workspace",
    "workspace": "given back within one line of Python, or a temporary of the optimizer",
    "cuBLAS workspace": "of a cuBLAS handle, kept to the end of the process",
    "buffers": "of the model",
    "data": "images and labels on the device",
    "before recording": "live before the recorded steps, and nothing else is known",
    "other": "neither the stack nor the end of the allocation tells",
}
"""What allocations.parquet may hold, from what arithmetic gives to what nothing tells, as it is drawn.

Weights, buffers, data are known by address; the others may be guesses.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class AllocationRow:
    """What a category and call site held at a moment."""

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
        "Asked for by tensors that were live at the moment; the rows of a moment sum to its level in memory",
    )
    num_allocations: int = given("", "allocations", "That the bytes are made of")
    static_known: bool = given(
        "",
        "addresses known",
        "Whether weights, gradients and optimizer state were told by their addresses; else, as in what ran "
        "out of memory, by stacks alone, which leave some of them in other categories",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryRow:
    """The level of the memory after an event."""

    event: int = given("", "event", "Allocations, frees and other events of the allocator that had happened")
    time_ms: float = given("ms", "time", "Since the first event, by the CPU's clock, which runs ahead of a GPU")
    allocated_bytes: int = given(
        "bytes",
        "allocated memory",
        "Asked for by tensors, before rounding; highest and lowest point of each of 200 runs of events, and the ends",
    )
