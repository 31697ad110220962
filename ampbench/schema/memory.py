"""Memory in bytes, each number by a named instrument."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column

MIB = 2**20
"""Bytes."""

CPU_ALLOCATOR, RESIDENT_SET = "cpu_allocator", "rss"
INSTRUMENTS = {
    "cuda_allocator": "by torch's CUDA allocator",
    CPU_ALLOCATOR: "by torch's CPU allocator, in a pass of its own",
    RESIDENT_SET: "of the process's resident set, libraries included",
}
"""Instrument -> how its numbers are measured, in words; `memory_instrument` is the first or the last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryPeaks:
    """The most memory that was in use at once."""

    memory_instrument: str | None = column(
        "",
        "memory instrument",
        "cuda_allocator, or rss: the process's resident set, code and libraries included",
    )
    baseline_bytes: int | None = column(
        "bytes",
        "baseline memory",
        "By the same instrument, before the data and the model are loaded",
    )
    startup_peak_bytes: int | None = column(
        "bytes",
        "start-up peak memory",
        "Peak until the end of warm-up, workspaces of cuDNN's trials included",
    )
    steady_peak_bytes: int | None = column("bytes", "steady peak memory", "Peak over the training steps after warm-up")
    peak_reserved_bytes: int | None = column(
        "bytes",
        "peak reserved memory",
        "Most that the CUDA caching allocator reserved until the first evaluation; null on a CPU",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticMemory:
    """The memory of a training that does not depend on its batch size, by arithmetic."""

    weights_bytes: int | None = column("bytes", "weights", "Of the model's parameters; shared storage counts once")
    gradients_bytes: int | None = column(
        "bytes",
        "gradients",
        "As large as the parameters that the optimizer updates; by arithmetic",
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
    """The memory of the images, and how often the allocator was short of memory."""

    data_bytes: int | None = column("bytes", "data", "Of the images and labels that stay on the device")
    allocation_retries: int | None = column(
        "",
        "allocation retries",
        "Times that the CUDA allocator emptied its cache to serve an allocation; null on a CPU",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryTrace:
    """What the passes that measure memory found."""

    allocator_peak_bytes: int | None = column(
        "bytes",
        "allocator peak",
        "Peak of torch's CPU allocator, model, optimizer and batch included, by the profiler's memory events; null on "
        "a GPU",
    )
    largest_free_block_bytes: int | None = column(
        "bytes",
        "largest free block",
        "Largest block that the CUDA allocator held unused when the snapshot was taken; null without a snapshot",
    )
    predicted_peak_bytes: int | None = column(
        "bytes",
        "predicted peak",
        "Of two steps of fake tensors, without the data set, workspaces, rounding and the buffers of gradients "
        "sent between GPUs; null without the pass `memory`",
    )
    memory_note: str | None = column(
        "",
        "note on the memory",
        "Which part of the pass `memory` this device does not support, and what is there instead; null if none",
    )
