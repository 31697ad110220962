"""The process of one worker, as its launcher sees it: how it is started, heard, ended and killed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.local.fork_server import start_worker
from ampbench.bench.plan.environment import as_variables
from ampbench.bench.store.run import Run

LOST = 255
"""multiprocessing's exit code of a process whose fork server has ended."""


def why_ranks_hang(run: Run) -> str:
    """Return cause and cure of GPUs that never finished their first step together; empty on one GPU and on a CPU.

    NCCL's transfers from GPU to GPU (P2P) wait for ever where the boards cannot reach each other: unlike boards, or a
    PCIe path through an IOMMU or with access control (NCCL user guide, "Troubleshooting", "GPU Direct"; study S4).
    """
    if run.cell.gpus == 1 or not run.board.is_gpu:
        return ""
    names = list(dict.fromkeys(str(board.name) for board in run.boards))
    cause = f"unlike boards ({', '.join(names)})" if len(names) > 1 else "a PCIe path through an IOMMU or with ACS"
    said = "; no step was finished, as when transfers between GPUs (P2P) hang"
    if as_variables(run.cell.environment).get("NCCL_P2P_DISABLE") == "1":
        cure = (
            'P2P is off already: set NCCL_SHM_DISABLE = 1 or NCCL_IB_DISABLE = 1 too, and NCCL_DEBUG = "INFO" tells in '
        )
        return f"{said}. {cure}log.txt what they wait for"
    return f"{said}, with {cause}: set environment = {{NCCL_P2P_DISABLE = 1}}, which copies through the host's memory"


@dataclass
class WorkerProcess:
    """A run, its worker, and what that has reported."""

    run: Run
    process: ForkServerProcess
    messages: Connection
    started_s: float = field(default_factory=time.monotonic)
    """When the worker won its board; before that, when it was started."""
    pidfd: int | None = None
    """A descriptor that is ready when the worker has ended (pidfd_open(2)), also after the fork server was killed."""
    deadline_s: float | None = None
    """None while it waits for the board: that is not the cell's time."""
    timed_out: bool = False
    recorded_before_ns: int | None = None
    """When the record that is to be replaced was written, if there is one."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The latest that the worker reported, by keyword."""

    @property
    def end(self) -> int:
        """Ready when the worker has ended; without a kernel's help also when the fork server has."""
        return self.process.sentinel if self.pidfd is None else self.pidfd

    @classmethod
    def start(cls, run: Run, context: ForkServerContext) -> WorkerProcess:
        """Start the worker of a run.

        Raises:
            RequestError: the fork server cannot live here.
        """
        run.save()
        recorded_before_ns = run.recorded_ns
        process, messages = start_worker(context, run)
        worker = cls(run=run, process=process, messages=messages, recorded_before_ns=recorded_before_ns)
        with suppress(OSError):  # a sandbox that knows no such call; a worker that has ended already
            worker.pidfd = os.pidfd_open(process.pid or 0)
        return worker

    @property
    def has_left_no_record(self) -> bool:
        """Whether it has ended without a record of its own; another launcher may have finished the same cell."""
        recorded_ns = self.run.recorded_ns
        return recorded_ns is None or (self.run.again and recorded_ns == self.recorded_before_ns)

    @property
    def how_it_ended(self) -> str:
        """In words, of a worker that left no record."""
        phase, exit_code = self.facts.get("phase", "start"), self.process.exitcode
        if exit_code == LOST:
            return f"ended in phase {phase}, and so did the fork server, which alone knows how; see log.txt"
        how = f"killed by {signal.Signals(-exit_code).name}" if exit_code and exit_code < 0 else f"exit {exit_code}"
        hint = "; the kernel does this when memory runs out" if exit_code == -signal.SIGKILL else ""
        return f"{how} in phase {phase}{hint}; see log.txt"

    def listen(self, watcher: Watcher) -> None:
        """Take in what the worker has reported, without waiting."""
        while not self.messages.closed and self.messages.poll():
            try:
                facts = self.messages.recv()
            except (EOFError, OSError):
                self.messages.close()
                return
            if facts.get("phase") == "start":
                self.deadline_s = time.monotonic() + 60 * self.run.budget.minutes_per_cell
                self.started_s = time.monotonic()
            self.facts |= facts
            watcher.told(self.run, facts)

    def time_out(self) -> None:
        """Kill the worker, whose time is up."""
        limit, phase = self.run.budget.minutes_per_cell, self.facts.get("phase", "start")
        hang = "" if self.facts.keys() & {"loss", "images_per_s"} else why_ranks_hang(self.run)
        self.facts["because"] = f"took longer than minutes_per_cell = {limit:g}, in phase {phase}{hang}"
        self.timed_out = True
        self.kill()

    def let_go(self) -> None:
        """Close what told of the end; a worker that only lost its fork server is killed, since nobody would hear it."""
        if self.pidfd is not None:
            os.close(self.pidfd)
        elif self.process.exitcode == LOST:
            self.kill()

    def kill(self) -> None:
        """Kill the worker and whatever it started; its process group is its own from its first line on."""
        pid = self.process.pid
        with suppress(ProcessLookupError, PermissionError):
            if pid is not None and os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
