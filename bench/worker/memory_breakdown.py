"""What a training's memory is made of: its static part by arithmetic, and a step's allocations one by one.

On a GPU from the history of torch's caching allocator, over a few warm steps; on a CPU from the profiler's memory
events, over a second training that is built before its eyes.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ampbench.bench.measure.allocator import allocation_retries, allocator_peak, cast_bytes, static_split
from ampbench.bench.measure.memory_history import Digest, addresses, digest, recording, reduced
from ampbench.bench.measure.memory_history.purpose import BUFFERS, DATA, GRADIENTS, OPTIMIZER_STATE, WEIGHTS
from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.images import Images
from ampbench.bench.train.precision import DTYPES
from ampbench.bench.train.training import Training
from ampbench.bench.worker.traces import Traces

NUM_STEPS = 3
"""Recorded: the state of the optimizer is there from the second one on."""


def split(training: Training, row: dict[str, Any]) -> None:
    """Write the bytes that a training holds whatever its batch size into `row`. It must have stepped."""
    images, compute = training.images, DTYPES[training.cell.precision.compute]
    row |= asdict(static_split(training.model, training.optimizer, compute=compute, kept=_kept(training)))
    row["data_bytes"] = sum(x.nbytes for x in _pixels_and_labels(images) if x.device.type == training.device.type)
    row["allocation_retries"] = allocation_retries(training.device)


def trace_memory(training: Training, row: dict[str, Any], traces: Traces, pickle_path: Path | None) -> None:
    """Follow every allocation of a few steps, into `traces`; on a GPU, write torch's own history to `pickle_path` too.

    Raises:
        RuntimeError: memory does not suffice for it.
    """
    if training.device.type == "cuda":
        found = _record(training, pickle_path)
        row["largest_free_block_bytes"] = found.largest_free_block_bytes
        _keep(found, traces)
        return
    cell, images, device = training.cell, training.images, training.device
    peak = allocator_peak(lambda: _built_and_stepped(cell, images, device))
    row["allocator_peak_bytes"] = peak.peak_bytes
    traces.memory = [level._asdict() for level in reduced(peak.times_ms, peak.levels)]


def trace_out_of_memory(cell: Cell, images: Images, device: torch.device, traces: Traces) -> None:
    """Let a training on a GPU run out of memory once more, recorded. The one that did must have been let go."""
    with suppress(RuntimeError), recording(device) as history:
        _built_and_stepped(cell, images, device)
    if history.snapshot:
        _keep(digest(history.snapshot), traces)


def _record(training: Training, pickle_path: Path | None) -> Digest:
    with recording(training.device) as history:
        _step(training)
    known = addresses(_by_category(training))  # at once, before anything is freed
    if pickle_path:
        history.write(pickle_path)
    casts = cast_bytes(training.model, DTYPES[training.cell.precision.compute])
    return digest(history.snapshot, training.device.index or 0, known=known, cast_bytes=casts)


def _by_category(training: Training) -> dict[str, list[Tensor]]:
    state = [x for own in training.optimizer.state.values() for x in own.values() if isinstance(x, Tensor)]
    master = training.master.parameters if training.master else []
    return {
        DATA: _pixels_and_labels(training.images),
        BUFFERS: list(training.model.buffers()),
        WEIGHTS: list(training.model.parameters()),
        GRADIENTS: [p.grad for p in training.updated.values() if p.grad is not None],
        OPTIMIZER_STATE: [*state, *master, *_kept(training)],
    }


def _built_and_stepped(cell: Cell, images: Images, device: torch.device) -> Training:
    training = Training(replace(cell, gpus=1, sync_batchnorm=False), images, device)  # one rank's share of a batch
    next(training.endless_steps())  # as written, as in every process
    training.compile()
    _step(training)
    return training


def _step(training: Training) -> None:
    for _ in itertools.islice(training.endless_steps(), NUM_STEPS):
        pass


def _kept(training: Training) -> list[Tensor]:
    """Return what an update keeps beside the optimizer's state."""
    return training.master.lost if training.master else []


def _pixels_and_labels(images: Images) -> list[Tensor]:
    return [images.train_x_NCHW, images.train_y_N, images.test_x_NCHW, images.test_y_N]


def _keep(found: Digest, traces: Traces) -> None:
    traces.allocations, traces.memory = found.allocation_rows, found.timeline_rows
