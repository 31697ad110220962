"""Neighbours of a cell: workers that compute on other boards for as long as it is timed, and leave no record."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from types import TracebackType
from typing import Any

from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.local.worker_process import WorkerProcess
from ampbench.bench.launch.shown.watchers import Watchers
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.store.run import Run

NO_END = 10**9
"""Epochs of a neighbour: a timing ends by itself when its speed is known, a training does not."""
PROTOCOL = MeasurementProtocol(evaluate_every=NO_END, max_warmup_s=5.0, passes=())
AT_WORK = "training"
"""The phase of a worker whose warm-up is over."""


def without_end(run: Run) -> Run:
    """Return a run of the same steps that goes on until it is killed."""
    budget = Budget(minutes_per_cell=1e6, checkpoint_minutes=1e6, memory_gib_per_cell=run.budget.memory_gib_per_cell)
    cell = replace(run.cell, epochs=NO_END, schedule="constant")
    return replace(run, cell=cell, protocol=PROTOCOL, budget=budget, again=True)


class TellsOfWaiting:
    """A watcher that hears of a neighbour only that it waits for its board."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def started(self, run: Run) -> None:
        """Tell of the start."""
        self.watcher.started(run)
        self.watcher.told(run, {"phase": "neighbour"})

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Tell of it while it waits."""
        if facts.get("phase") == "waiting":
            self.watcher.told(run, facts)

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Tell nothing."""


class Neighbours:
    """Context in which workers are at work on their boards; they are killed at its end.

    Whoever times a cell inside it asks at the end for `lost`: what was timed beside a neighbour that had ended says
    nothing.
    """

    def __init__(self, runs: Sequence[Run], context: ForkServerContext, watcher: Watcher) -> None:
        self.runs = runs
        self.lost: list[str] = []
        """Which neighbours ended before their time, and how."""
        self._context = context
        self._watcher = TellsOfWaiting(watcher)
        self._workers: list[WorkerProcess] = []
        self._told, self._tell = os.pipe()
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Neighbours:
        try:
            for run in self.runs:
                self._workers.append(WorkerProcess.start(without_end(run), self._context))
                self._watcher.started(run)
            self._wait_until_at_work()
        except BaseException:
            self._end()
            raise
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.write(self._tell, b".")
        self._listener.join()
        self._end()

    def _wait_until_at_work(self) -> None:
        """Block until each is beyond its warm-up.

        Raises:
            RequestError: one has ended, or took longer than its cell may.
        """
        while not all(worker.facts.get("phase") == AT_WORK for worker in self._workers):
            begun = [worker.started_s for worker in self._workers if worker.deadline_s is not None]
            limit_s = 60 * self.runs[0].budget.minutes_per_cell
            left_s = min(begun) + limit_s - time.monotonic() if begun else limit_s
            if left_s <= 0:
                limit = self.runs[0].budget.minutes_per_cell
                raise RequestError(
                    f"a neighbour was not at work after minutes_per_cell = {limit:g}; raise it in [budget]"
                )
            self._take_in(self._watcher, left_s)
            if self.lost:
                raise RequestError(f"{'; '.join(self.lost)}, before the cell beside it was timed")

    def _listen(self) -> None:
        """Take in what the neighbours say while a cell is timed: one that nobody hears stops when its pipe is full."""
        nobody = Watchers()
        while not self.lost and not self._take_in(nobody, None):
            pass

    def _take_in(self, watcher: Watcher, timeout_s: float | None) -> bool:
        """Wait until a neighbour speaks or ends; return whether to stop."""
        speaking = [worker.messages for worker in self._workers if not worker.messages.closed]
        ready = wait([*speaking, *(worker.end for worker in self._workers), self._told], timeout_s)
        for worker in self._workers:
            worker.listen(watcher)
            if worker.end in ready:
                worker.process.join()
                how = worker.facts.get("because") or worker.how_it_ended
                log = worker.run.folder / "log.txt"
                self.lost.append(
                    f"the neighbour on {worker.run.board} ended ({how.removesuffix('; see log.txt')}; see {log})"
                )
        return self._told in ready

    def _end(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.let_go()
        os.close(self._told)
        os.close(self._tell)
