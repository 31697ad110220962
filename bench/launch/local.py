"""Cells on this machine: one queue of groups, one worker process at a time on each board.

Every cell gets a process of its own, because cuDNN's autotuning, the caching allocator, compile caches and
TF32 switches outlive the cell that set them. A fork server that has imported torch, and done nothing with it,
gives that process in a twentieth of a second. While workers measure, this process blocks: it neither polls
nor computes beside them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, Protocol

from bench.launch.backstop import Backstop
from bench.measure.machine import provenance
from bench.plan.board import Board
from bench.store.columns import METHOD_VERSION, TABLES
from bench.store.folder import ROOT
from bench.store.record import write_run
from bench.store.run import Run

PRELOAD = ["bench.worker.process", __name__]
"""What the fork server imports; torch comes with it. An ImportError there is swallowed, so a test looks."""


class Watcher(Protocol):
    """Whoever shows the progress."""

    def started(self, run: Run) -> None:
        """A worker was started."""

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """A worker reported its phase or its speed."""

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        """A cell has its record; `facts` has at least its status."""


@dataclass
class _Active:
    run: Run
    process: ForkServerProcess
    messages: Connection
    started_s: float = field(default_factory=time.monotonic)
    """When the worker won its board; before that, when it was started."""
    deadline_s: float | None = None
    """None while it waits for the board: that is not the cell's time."""
    timed_out: bool = False
    record_before: int | None = None
    """Time stamp of the record that is to be replaced, if there is one."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The latest that the worker said, by keyword."""


def start_fork_server() -> ForkServerContext:
    """Start the fork server; it imports torch while the caller goes on with something else.

    It must stay a single thread, since it forks; OpenBLAS and Arrow's jemalloc would each start one at import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    path = os.pathsep.join([str(ROOT), *sys.path])
    # Ctrl-C reaches the whole group; here the launcher alone answers it, also while the server still loads torch.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _environment(OPENBLAS_NUM_THREADS="1", JE_ARROW_MALLOC_CONF="background_thread:false", PYTHONPATH=path):
            forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
    return context


def run_groups(
    groups: Iterable[Sequence[Run]],
    boards: Sequence[Board],
    *,
    context: ForkServerContext,
    watcher: Watcher,
    backstop: Backstop,
    board_hours: float | None = None,
) -> bool:
    """Run groups of cells to their records; a free board takes the next group, and no group is split.

    Args:
        groups: runs whose `board` is filled in here.
        boards: all of one model.
        context: of `start_fork_server`.
        watcher: told of every start, report and end.
        backstop: knows which batch sizes must run out of memory.
        board_hours: no further cell is started once the boards have worked this long in all.

    Returns:
        Whether all were run; False if the hours were used up.

    Raises:
        KeyboardInterrupt: after every worker has been killed. What was finished is kept.
    """
    queue = deque(deque(group) for group in groups)
    lanes: dict[Board, deque[Run]] = {board: deque() for board in boards}
    active: dict[Board, _Active] = {}
    spent_s = 0.0
    try:
        while True:
            for board, lane in lanes.items():
                while board not in active and (lane or queue) and not _used_up(spent_s, board_hours):
                    if not lane:
                        lane.extend(queue.popleft())
                    run = replace(lane.popleft(), board=board)
                    because = backstop.implies(run.cell)
                    if because and (run.again or _age(run) is None):
                        _record_end(run, "oom", because, watcher)
                    else:
                        active[board] = _start(run, context, watcher)
            if not active:
                return not queue and not any(lanes.values())
            for board in _wait(active, watcher):
                ended = active.pop(board)
                spent_s += _finish(ended, watcher, backstop)
    except BaseException:
        for running in active.values():
            _kill(running)
        raise


def _used_up(spent_s: float, board_hours: float | None) -> bool:
    return board_hours is not None and spent_s >= 3600 * board_hours


def _start(run: Run, context: ForkServerContext, watcher: Watcher) -> _Active:
    run.save()
    record_before = _age(run)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(run, theirs))
    with _no_main_module():
        process.start()
    theirs.close()
    watcher.started(run)
    return _Active(run=run, process=process, messages=ours, record_before=record_before)


def _serve(run: Run, messages: Connection) -> None:
    """Run in the worker, where the import finds what the fork server has loaded; here it would load torch."""
    from bench.worker.process import serve

    serve(run, messages)


def _wait(active: Mapping[Board, _Active], watcher: Watcher) -> list[Board]:
    """Block until a worker speaks, ends or is out of time; return the boards whose worker has ended."""
    deadlines = [running.deadline_s for running in active.values() if running.deadline_s is not None]
    timeout_s = min(3600.0, max(0.0, min(deadlines) - time.monotonic())) if deadlines else None  # poll(2) takes an int
    sentinels = [running.process.sentinel for running in active.values()]
    speakers = [running.messages for running in active.values() if not running.messages.closed]
    ready = set(wait([*speakers, *sentinels], timeout_s))
    ended = []
    for board, running in active.items():
        _listen(running, watcher)
        if running.deadline_s is not None and time.monotonic() >= running.deadline_s:
            running.timed_out = True
            limit, phase = running.run.budget.minutes_per_cell, running.facts.get("phase", "start")
            running.facts["because"] = f"took longer than minutes_per_cell = {limit:g}, in phase {phase}"
            _kill(running)
            ended.append(board)
        elif running.process.sentinel in ready:
            running.process.join()
            _listen(running, watcher)
            ended.append(board)
    return ended


def _listen(running: _Active, watcher: Watcher) -> None:
    """Take in what a worker has said, without waiting."""
    while not running.messages.closed and running.messages.poll():
        try:
            facts = running.messages.recv()
        except (EOFError, OSError):
            running.messages.close()
            return
        if facts.get("phase") == "start":
            running.deadline_s = time.monotonic() + 60 * running.run.budget.minutes_per_cell
            running.started_s = time.monotonic()
        running.facts |= facts
        watcher.told(running.run, facts)


def _finish(running: _Active, watcher: Watcher, backstop: Backstop) -> float:
    """See to it that an ended worker has left a record; return the seconds it held its board."""
    run, facts, exit_code = running.run, running.facts, running.process.exitcode
    age = _age(run)  # of whoever's record: another launcher may have finished the same cell
    if age is None or (run.again and age == running.record_before):
        if running.timed_out:
            _record_end(run, "timeout", facts["because"], watcher)
        else:
            how = f"killed by {signal.Signals(-exit_code).name}" if exit_code and exit_code < 0 else f"exit {exit_code}"
            hint = "; the kernel does this when memory runs out" if exit_code == -signal.SIGKILL else ""
            _record_end(run, "crashed", f"{how} in phase {facts.get('phase', 'start')}{hint}; see log.txt", watcher)
    else:
        backstop.observe(run.cell, facts.get("status"))
        watcher.ended(run, {"status": "done"} | facts)
    return time.monotonic() - running.started_s


def _age(run: Run) -> int | None:
    """Return the record's time stamp; None if there is none."""
    try:
        return run.record_path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _record_end(run: Run, status: str, because: str, watcher: Watcher) -> None:
    """Write the row of a cell whose worker could not, or was never started."""
    run.save()
    row = provenance(run.board, METHOD_VERSION) | {"status": status, "because": because, "order": run.order}
    row |= {"command": run.command, "started_at": datetime.now(UTC)}
    # Empty traces, too: those of an earlier run are not this row's.
    write_run(run.folder, run.cell, row, {table: [] for table in TABLES if table != "cells"})
    watcher.ended(run, {"status": status, "because": because})


def _kill(running: _Active) -> None:
    """Kill a worker and whatever it started; its process group is its own from its first line on."""
    pid = running.process.pid
    with suppress(ProcessLookupError, PermissionError):
        if pid is not None and os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    running.process.kill()
    running.process.join()


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables for a child that is started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Hide the command from multiprocessing, which would import it again in every worker."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
