"""The ranks other than 0: they carry out the orders of rank 0, one after another."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection

import torch

from ampbench.bench.measure.memory import is_out_of_memory, says_out_of_memory
from ampbench.bench.store.run import Run
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.orders import (
    CountHits,
    Evaluate,
    Finish,
    GatherState,
    LoadState,
    Message,
    OpenEpoch,
    Order,
    TakeStep,
    refuse_unknown,
)
from ampbench.bench.train.ranks import ECHO_S, Ranks
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.step import Step
from ampbench.bench.train.training import Training
from ampbench.bench.worker.dtype_check import check_first_step, refuse_late_weights
from ampbench.bench.worker.layout import is_misfit
from ampbench.bench.worker.log import loaded_lines, say
from ampbench.schema.precision import DtypesSeen

PATIENCE_S = 3 * ECHO_S
"""A follower that fails waits this long before it raises: if rank 0 failed in the same way, its record says more."""

GRACE_S = 10.0
"""A follower ends this long after `Finish`, even if it is still busy with an order that rank 0 has given up."""


class Orders:
    """The orders of rank 0. A thread receives them, so that `Finish` arrives even in the middle of a step."""

    def __init__(self, hears: Connection) -> None:
        self._hears = hears
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._leave = threading.Timer(GRACE_S, os._exit, [1])
        self._leave.daemon = True
        self.finished = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while not self.finished.is_set():
            message: Message = self._hears.recv()
            if isinstance(message, Finish):
                self._leave.start()
                self.finished.set()
            self._heard.put(message)

    def __iter__(self) -> Iterator[Order]:
        """Yield the orders before `Finish`, each as soon as it arrives."""
        while not isinstance(message := self._heard.get(), Finish):
            yield message
        self._leave.cancel()


class Follower:
    """A rank's part in a training: it does what rank 0 orders."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self._steps: Iterator[Step] = iter(())
        self._is_checked = False
        """Whether the first step of this process was taken, under the dtype check."""

    def carry_out(self, order: Order) -> None:
        """Do what rank 0 does at this moment.

        Raises:
            RuntimeError: the order is unknown.
            Exception: any error of this rank.
        """
        match order:
            case OpenEpoch(epoch):
                self._steps = self.training.steps(epoch)
            case TakeStep():
                self._take_step()
            case Evaluate():
                with suppress(Diverged):  # rank 0 gets the same result, and reports it
                    self.training.evaluate()
            case CountHits():
                self.training.count_hits()
            case GatherState():
                self.training.state_dict()
            case LoadState():
                self.training.load_state_dict({})
            case _:
                refuse_unknown(order)

    def _take_step(self) -> None:
        if self._is_checked:
            next(self._steps)
            return
        try:
            first = check_first_step(self.training, self._steps, DtypesSeen())
            refuse_late_weights(self.training)
            first.refuse()
        except Exception as e:
            if not (self.training.cell.channels_last and is_misfit(e)):
                raise
            self.training.start_over(channels_last=False)  # rank 0 does the same, and opens the epoch again
            return
        self.training.compile()
        self._is_checked = True


def follow(run: Run, device: torch.device, ranks: Ranks, orders: Orders) -> None:
    """Run a rank other than 0: load the images, build the training, and carry out all orders.

    Raises:
        Exception: any error of this rank that rank 0 did not have.
    """
    try:
        images = load_images(run.cell.data, run.cell.image_size)
        say(*loaded_lines(ranks.rank, len(images.train_y_N), len(images.test_y_N)))
        follower = Follower(Training(run.cell, images, device, ranks))
        for order in orders:
            follower.carry_out(order)
    except Exception as e:
        lacked_room = is_out_of_memory(e) and not says_out_of_memory(e)  # the agent cannot ask an ended process's GPU
        if not orders.finished.wait(PATIENCE_S):
            if lacked_room:
                raise RuntimeError(f"CUDA out of memory: {e}") from e
            raise
