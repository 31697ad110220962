"""The parts of a training's memory: its static part by arithmetic, and each allocation of a step.

On a GPU the allocations come from the history of torch's caching allocator, over a few steps after warm-up; on a CPU
from the profiler's memory events, over a second training that is built under the profiler.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ampbench.bench.measure.allocator import allocation_retries, allocator_peak, cast_bytes, static_memory
from ampbench.bench.measure.memory_history import Digest, addresses, digest, recording, reduced
from ampbench.bench.measure.memory_history.purpose import BUFFERS, DATA, GRADIENTS, OPTIMIZER_STATE, WEIGHTS
from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.images.images import Images
from ampbench.bench.train.precision.islands import tensors_on_islands
from ampbench.bench.train.precision.precision import DTYPES
from ampbench.bench.train.training import Training
from ampbench.schema.memory import DataMemory, StaticMemory
from ampbench.schema.memory_history import AllocationRow, MemoryRow

NUM_STEPS = 3
"""Steps that are recorded: the optimizer has its state from the second one on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocations:
    """The allocations of a few steps, condensed."""

    memory: list[MemoryRow]
    """The allocated memory over time; on a GPU that of each category too."""
    holders: list[AllocationRow] = field(default_factory=list)
    """The allocations that were live at its peak."""
    allocator_peak_bytes: int | None = None
    largest_free_block_bytes: int | None = None

    @classmethod
    def of(cls, found: Digest) -> Allocations:
        """Return the allocations of a GPU's history."""
        largest = found.largest_free_block_bytes
        return cls(
            memory=[*found.timeline, *found.by_category],
            holders=found.allocation_rows,
            largest_free_block_bytes=largest,
        )


def static_memory_of(training: Training) -> StaticMemory:
    """Return the bytes that a training holds for any batch size. It must have taken a step."""
    compute = DTYPES[training.cell.precision.compute]
    in_fp32 = tensors_on_islands(training.model)
    return static_memory(training.model, training.optimizer, compute=compute, kept=_kept(training), in_fp32=in_fp32)


def data_memory_of(training: Training) -> DataMemory:
    """Return the memory of the images on the device, and how often its allocator was short of memory."""
    tensors = _pixels_and_labels(training.images)
    return DataMemory(
        data_bytes=sum(x.nbytes for x in tensors if x.device.type == training.device.type),
        allocation_retries=allocation_retries(training.device),
    )


def trace_memory(training: Training, pickle_path: Path | None) -> Allocations:
    """Follow every allocation of a few steps; on a GPU, write torch's own history to `pickle_path` too.

    Raises:
        RuntimeError: there is not enough memory for it.
    """
    if training.device.type == "cuda":
        return Allocations.of(_record(training, pickle_path))
    cell, images, device = training.cell, training.images, training.device
    peak = allocator_peak(lambda: _built_and_stepped(cell, images, device))
    return Allocations(memory=list(reduced(peak.times_ms, peak.levels)), allocator_peak_bytes=peak.peak_bytes)


def trace_out_of_memory(cell: Cell, images: Images, device: torch.device) -> Allocations | None:
    """Run a training on a GPU out of memory again, recorded. The first one must have been released before."""
    with suppress(RuntimeError), recording(device) as history:
        _built_and_stepped(cell, images, device)
    return Allocations.of(digest(history.snapshot)) if history.snapshot else None


def _record(training: Training, pickle_path: Path | None) -> Digest:
    with recording(training.device) as history:
        _step(training)
    known = addresses(_by_category(training))  # at once, before anything is freed
    if pickle_path:
        history.write(pickle_path)
    casts = cast_bytes(training.model, DTYPES[training.cell.precision.compute], tensors_on_islands(training.model))
    return digest(history.snapshot, training.device.index or 0, known=known, cast_bytes=casts)


def _by_category(training: Training) -> dict[str, list[Tensor]]:
    state = [x for own in training.optimizer.state.values() for x in own.values() if isinstance(x, Tensor)]
    master = training.master.copies if training.master else []
    return {
        DATA: _pixels_and_labels(training.images),
        BUFFERS: list(training.model.buffers()),
        WEIGHTS: list(training.model.parameters()),
        GRADIENTS: [p.grad for p in training.updated.values() if p.grad is not None],
        OPTIMIZER_STATE: [*state, *master, *_kept(training)],
    }


def _built_and_stepped(cell: Cell, images: Images, device: torch.device) -> Training:
    training = Training(replace(cell, gpus=1, sync_batchnorm=False), images, device)  # one rank's part of a batch
    next(training.endless_steps())  # not compiled, as the first step of every process
    training.compile()
    _step(training)
    return training


def _step(training: Training) -> None:
    for _ in itertools.islice(training.endless_steps(), NUM_STEPS):
        pass


def _kept(training: Training) -> list[Tensor]:
    """Return the tensors of the update besides the optimizer's state."""
    return training.master.lost if training.master else []


def _pixels_and_labels(images: Images) -> list[Tensor]:
    return [images.train_x_NCHW, images.train_y_N, images.test_x_NCHW, images.test_y_N]
