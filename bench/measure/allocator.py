"""The peak of torch's CPU allocator, and the part of a training's memory that arithmetic gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer
from torch.profiler import ProfilerActivity

from ampbench.schema.memory import StaticMemory


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AllocatorPeak:
    """The memory that a piece of work took from the CPU allocator, without what was live before it."""

    peak_bytes: int
    """Most bytes of it that were live at once."""
    end_bytes: int
    """Bytes of it that were live at the end of the work, its return value included."""
    times_ms: Any
    """(K,) float64: time of every allocation and free since the first, which is point 1; point 0 is before it."""
    levels: Any
    """(K,) int64: bytes that were live at those times."""


def allocator_peak(work: Callable[[], object]) -> AllocatorPeak:
    """Call `work` under torch's profiler and follow the bytes that the CPU allocator allocates and frees.

    **What was live before is invisible, and so is its free** (torch warns of that). Work that builds the model, the
    optimizer and the batch itself is measured completely; a step of an existing training is measured without its
    weights and state.

    This reads the profiler's raw events: `prof.events()` drops most of the memory events, and their
    `total_allocated` counts the whole process. The profiler slows the work, so it is never used under the clock.
    """
    with torch.profiler.profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profile:
        result = work()
    events = profile.profiler.kineto_results.events()
    peak = follow(
        (event.start_ns(), event.nbytes())
        for event in events
        if event.name() == "[memory]" and event.device_type() == torch.autograd.DeviceType.CPU
    )
    # The result was alive until the profile ended, so that it counts as live at the end. torch forgets the size of a
    # block only in a profile that sees its free: else a later profile would count this size again when the next block
    # at the address is freed.
    with torch.profiler.profile(activities=[ProfilerActivity.CPU], profile_memory=True):
        del result
    return peak


def follow(changes: Iterable[tuple[int, int]]) -> AllocatorPeak:
    """Add up (time in ns, bytes) in the order of time, from 0; a free has negative bytes."""
    ordered = sorted(changes, key=lambda change: change[0])  # each thread reports its events by itself
    times_ns = np.array([ns for ns, _ in ordered], np.int64)
    levels = np.concatenate(([0], np.cumsum([size for _, size in ordered], dtype=np.int64)))
    return AllocatorPeak(
        peak_bytes=int(levels.max()),
        end_bytes=int(levels[-1]),
        times_ms=np.concatenate(([0.0], (times_ns - times_ns[:1]) / 1e6)),
        levels=levels,
    )


def static_memory(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    compute: torch.dtype,
    kept: Iterable[Tensor] = (),
    in_fp32: Set[int] = frozenset(),
) -> StaticMemory:
    """Add up the tensors of a training; memory that several share counts once. On the meta device it costs nothing.

    Args:
        model: whose dtype is the weights'.
        optimizer: over its parameters or their fp32 copies. It has its state only after its first step.
        compute: dtype that the recipe multiplies in; if it is not the weights' dtype, autocast casts.
        kept: further tensors of the update, counted as the optimizer's: the remainders of Kahan summation.
        in_fp32: identities of weights whose layers the recipe keeps in fp32, so that nothing casts them.
    """
    weights = list(model.parameters())
    updated = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
    state = [x for entries in optimizer.state.values() for x in entries.values() if isinstance(x, Tensor)]
    own = _storages(weights)
    return StaticMemory(
        weights_bytes=sum(own.values()),
        gradients_bytes=sum(p.numel() * p.element_size() for p in updated),
        optimizer_bytes=sum(n for key, n in _storages([*updated, *state, *kept]).items() if key not in own),
        buffers_bytes=sum(_storages(model.buffers()).values()),
        autocast_cache_bytes=sum(cast_bytes(model, compute, in_fp32)),
    )


def cast_bytes(model: nn.Module, compute: torch.dtype, in_fp32: Set[int] = frozenset()) -> list[int]:
    """Return the size of each copy that autocast makes of a weight and keeps until the end of the forward pass.

    Those are the fp32 parameters of convolutions and linear layers, with attention's projections and with biases: the
    operators that autocast runs in 16 bit (torch.amp, "CUDA Ops that can autocast to float16"). The backward pass
    keeps them alive. Empty where autocast is off because the recipe multiplies in fp32 or in the weights' dtype.
    `in_fp32` has the identities of weights whose layers the recipe keeps in fp32.
    """
    if compute.itemsize >= torch.float32.itemsize:
        return []
    layers = (m for m in model.modules() if isinstance(m, (_ConvNd, nn.Linear, nn.MultiheadAttention)))
    cast = {id(p): p for layer in layers for p in layer.parameters(recurse=False) if p.dtype == torch.float32}
    return [p.numel() * compute.itemsize for key, p in cast.items() if key not in in_fp32]


def allocation_retries(device: torch.device) -> int | None:
    """Return how often CUDA's allocator had to empty its cache to serve an allocation; None on a CPU."""
    return int(torch.cuda.memory_stats(device)["num_alloc_retries"]) if device.type == "cuda" else None


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Return storage -> bytes. The key is not the address, which is 0 for every tensor on the meta device."""
    own = [x.untyped_storage() for x in tensors]
    return {storage._cdata: storage.nbytes() for storage in own}
