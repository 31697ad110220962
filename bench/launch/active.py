"""A worker at work, as its launcher sees it: how it is started, how it ends, how it is killed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from ampbench.bench.launch.fork_server import start_worker
from ampbench.bench.store.run import Run

INTERRUPTIONS = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
PATIENCE_S = 0.5
"""After a worker was ended by one of these: whoever stops a whole job sends it to the launcher, too, and then the cell
is interrupted and not crashed."""

LOST = 255
"""multiprocessing's exit code of a process whose fork server has ended."""


@dataclass
class Active:
    """A run, its worker, and what that has said."""

    run: Run
    process: ForkServerProcess
    messages: Connection
    started_s: float = field(default_factory=time.monotonic)
    """When the worker won its board; before that, when it was started."""
    life: int | None = None
    """A descriptor that is ready when the worker has ended (pidfd_open(2)), also after the fork server was killed."""
    deadline_s: float | None = None
    """None while it waits for the board: that is not the cell's time."""
    timed_out: bool = False
    record_before: int | None = None
    """Time stamp of the record that is to be replaced, if there is one."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The latest that the worker said, by keyword."""

    @property
    def end(self) -> int:
        """Ready when the worker has ended; without a kernel's help also when the fork server has."""
        return self.process.sentinel if self.life is None else self.life

    @classmethod
    def start(cls, run: Run, context: ForkServerContext) -> Active:
        """Start the worker of a run.

        Raises:
            RequestError: the fork server cannot live here.
        """
        run.save()
        record_before = age_of(run)
        process, messages = start_worker(context, run)
        active = cls(run=run, process=process, messages=messages, record_before=record_before)
        with suppress(OSError):  # a sandbox that knows no such call; a worker that has ended already
            active.life = os.pidfd_open(process.pid or 0)
        return active

    @property
    def how_it_ended(self) -> str:
        """In words, of a worker that left no record."""
        phase, exit_code = self.facts.get("phase", "start"), self.process.exitcode
        if exit_code == LOST:
            return f"ended in phase {phase}, and so did the fork server, which alone knows how; see log.txt"
        how = f"killed by {signal.Signals(-exit_code).name}" if exit_code and exit_code < 0 else f"exit {exit_code}"
        hint = "; the kernel does this when memory runs out" if exit_code == -signal.SIGKILL else ""
        return f"{how} in phase {phase}{hint}; see log.txt"

    def let_go(self) -> None:
        """Close what told of the end; a worker that only lost its fork server is killed, since nobody would hear it."""
        if self.life is not None:
            os.close(self.life)
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


def age_of(run: Run) -> int | None:
    """Return the record's time stamp; None if there is none."""
    try:
        return run.record_path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
