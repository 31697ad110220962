"""Memory, in bytes, by a named instrument."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column

MIB = 2**20
"""Bytes."""

INSTRUMENTS = {
    "cuda_allocator": "by torch's CUDA allocator",
    "rss": "of the process's resident set, libraries included",
}
"""`memory_instrument` -> how its numbers were taken, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPeaks:
    """The most that was held at once."""

    memory_instrument: str | None = column(
        "",
        "memory instrument",
        "cuda_allocator, or rss: the process's resident set, code and libraries included",
    )
    baseline_bytes: int | None = column(
        "bytes",
        "baseline memory",
        "By the same instrument before the data and the model came",
    )
    startup_peak_bytes: int | None = column(
        "bytes",
        "start-up peak memory",
        "Peak until warm-up ended, trial workspaces included",
    )
    steady_peak_bytes: int | None = column("bytes", "steady peak memory", "Peak over the training steps after warm-up")
    peak_reserved_bytes: int | None = column(
        "bytes",
        "peak reserved memory",
        "Held by the CUDA caching allocator until the first evaluation; null on a CPU",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticMemory:
    """What a training holds whatever its batch size, by arithmetic."""

    weights_bytes: int | None = column("bytes", "weights", "Of the model's parameters; shared memory counts once")
    gradients_bytes: int | None = column(
        "bytes",
        "gradients",
        "One for each parameter that the optimizer updates, of its size; by arithmetic",
    )
    optimizer_bytes: int | None = column(
        "bytes",
        "optimizer state",
        "State tensors after the first step, and fp32 copies of 16-bit weights",
    )
    buffers_bytes: int | None = column("bytes", "buffers", "Of the model, such as BatchNorm's running means")
    autocast_cache_bytes: int | None = column(
        "bytes",
        "autocast cache",
        "Copies of fp32 weights of convolutions and linear layers in the compute dtype; 0 without autocast",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class DataMemory:
    """What the images take, and how often the allocator ran short."""

    data_bytes: int | None = column("bytes", "data", "Of the images and labels that are on the device throughout")
    allocation_retries: int | None = column(
        "",
        "allocation retries",
        "Times that the CUDA allocator emptied its cache to serve an allocation; null on a CPU",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryTrace:
    """What the passes over the memory found."""

    allocator_peak_bytes: int | None = column(
        "bytes",
        "allocator peak",
        "Of torch's CPU allocator from before the model was built, by the profiler's memory events; null on a GPU",
    )
    largest_free_block_bytes: int | None = column(
        "bytes",
        "largest free block",
        "Held by the CUDA allocator and unused when the snapshot was taken; null without one",
    )
    predicted_peak_bytes: int | None = column(
        "bytes",
        "predicted peak",
        "Of two steps of fake tensors, without data, workspaces, rounding and the gradients on their way "
        "between GPUs; null without the pass `memory`",
    )
    memory_note: str | None = column(
        "",
        "note on the memory",
        "What of a pass over the memory this device cannot do, and what is there instead; null if nothing",
    )
