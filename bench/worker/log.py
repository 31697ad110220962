"""The lines of log.txt: one per 100 batches, the evaluations, the seconds of each epoch, the best epoch.

All lines are written at the ends of epochs, off the clock, from values that the steps left on the device: a line in the
middle of an epoch would have to wait for the device.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import torch

from ampbench.bench.machine.provenance import machine_of
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.final import final_lines
from ampbench.bench.train.images.images import Images
from ampbench.bench.train.schedule import learning_rate
from ampbench.schema.cells import Measured
from ampbench.schema.column import values_of
from ampbench.schema.epochs import EpochRow
from ampbench.schema.speed import WallTime
from ampbench.schema.steps import StepRow

EVERY = 100
"""Batches between two lines of an epoch."""


def open_log(folder: Path) -> int:
    """Open a run's log.txt, emptied unless there is a checkpoint: then the earlier lines are of the same training."""
    going_on = any(folder.glob("checkpoint*.pt"))
    return os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | (os.O_APPEND if going_on else os.O_TRUNC))


def silence_profiler() -> None:
    """Keep libkineto's own lines (`USDT: … profiler_start`, `gpuGetDeviceCount failed`) out of log.txt.

    libkineto reads this variable when the first profiler starts; a level set by the user is kept. An older torch also
    warns at each profile that it keeps no events of the one before.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    warnings.filterwarnings("ignore", message="Warning: Profiler clears events", category=UserWarning)


def say(*lines: str) -> None:
    """Write lines to the worker's standard output, which is log.txt."""
    if lines:
        with suppress(OSError):  # a full disk; the training goes on
            print(*lines, sep="\n", flush=True)


def start_line(cell: Cell, device: torch.device, images: Images, num_parameters: int) -> str:
    """Return the first lines: the machine with its memory, the model with its parameters, the images."""
    if device.type == "cuda":
        board = torch.cuda.get_device_properties(device)
        count = f"{cell.gpus} x " if cell.gpus > 1 else ""
        machine, size = f"{count}{board.name}", board.total_memory
    else:
        machine, size = machine_of(None, None).machine, psutil.virtual_memory().total
    return (
        f"[hardware] {machine}, {size / 2**30:,.0f} GiB [model] {cell.model}, {num_parameters:,} parameters "
        f"[data] {cell.data}, {len(images.train_y_N):,} training and {len(images.test_y_N):,} test images"
    )


def loaded_lines(rank: int, num_train: int, num_test: int) -> Iterator[str]:
    """Return how many images a rank has loaded."""
    yield f"Rank {rank} loaded {num_train} samples (training)"
    yield f"Rank {rank} loaded {num_test} samples (test)"


def batch_lines(cell: Cell, rows: Sequence[StepRow], num_batches: int, num_images: int) -> Iterator[str]:
    """Return a line for every 100th batch of an epoch and for its last: images seen, mean loss so far, learning rate.

    Args:
        cell: the cell that is trained.
        rows: of the table `steps`, of one epoch.
        num_batches: of a whole epoch; there are fewer rows if the epoch was broken off.
        num_images: of the training set; if the last batch is dropped, only whole batches count.
    """
    seen, losses, total = 0, 0.0, min(num_images, num_batches * cell.global_batch_size)
    for i, row in enumerate(rows, 1):
        seen += row.num_images
        losses += row.loss
        if i % EVERY and i != len(rows):
            continue
        epoch = row.epoch
        rate = learning_rate(cell, epoch=epoch - 1, step=i - 1, steps_per_epoch=num_batches)
        yield (
            f"Epoch {epoch}/{cell.epochs}, batch {i}/{num_batches}: {seen}/{max(seen, total)} "
            f"({100 * seen / max(seen, total):.0f} %), mean loss {losses / i:.4f}, learning rate {rate:.4g}"
        )


def epoch_lines(cell: Cell, epoch: EpochRow, num_test: int) -> Iterator[str]:
    """Return the lines of a finished epoch: its results and its seconds."""
    words = f"Epoch {epoch.epoch}/{cell.epochs}: training loss {epoch.train_loss:.4f}"
    if epoch.train_accuracy is not None:
        words += f", training accuracy {100 * epoch.train_accuracy:.2f}%"
    words += f"; training {epoch.epoch_train_s:.1f} s"
    if epoch.test_accuracy is not None and epoch.test_loss is not None:
        yield f"{words}, evaluation {epoch.epoch_evaluation_s:.1f} s"
        yield evaluation_line(epoch.test_loss, epoch.test_accuracy, num_test)
    else:
        yield f"{words}, no evaluation"


def evaluation_line(loss: float, accuracy: float, num_test: int) -> str:
    """Return the line of an evaluation: `Test loss: 0.2718, Accuracy: 9123/10000: 91.23%`."""
    return f"Test loss: {loss:.4f}, Accuracy: {round(accuracy * num_test)}/{num_test}: {accuracy:.2%}"


def end_lines(measured: Measured, wall_time: WallTime) -> Iterator[str]:
    """Return the last lines: the results of the whole training."""
    if None not in values_of(measured.evaluation).values():
        yield from final_lines(measured.evaluation, measured.data.num_test_images)
    best = measured.best_epoch
    if best.best_epoch is not None:
        yield f"Best epoch: {best.best_epoch}, best accuracy: {best.best_test_accuracy:.2%}"
    if measured.course.learning_note:
        yield f"Note: {measured.course.learning_note}"
    yield f"Training {wall_time.train_s:.1f} s, evaluation {wall_time.evaluation_s:.1f} s"
