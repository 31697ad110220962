"""Cells on this machine: one queue of groups, one worker process at a time on each board.

While workers measure, this process blocks: it neither polls nor computes beside them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from typing import Any, Protocol

from ampbench.bench.launch.active import INTERRUPTIONS, PATIENCE_S, Active, age_of
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.bench.store.tables import TABLES
from ampbench.schema.version import METHOD_VERSION

Team = tuple[Board, ...]
"""The boards that run a group: one, or as many GPUs as each of its cells wants."""


class Watcher(Protocol):
    """Whoever shows the progress."""

    def started(self, run: Run) -> None:
        """A worker was started."""

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """A worker reported its phase or its speed."""

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        """A cell has its record; `facts` has at least its status."""


def run_groups(
    groups: Iterable[Sequence[Run]],
    boards: Sequence[Board],
    *,
    context: ForkServerContext,
    watcher: Watcher,
    oom_guard: OomGuard,
    board_hours: float | None = None,
) -> bool:
    """Run groups of cells to their records; free boards take the next group, and no group is split.

    A group of cells that want several GPUs waits until so many are free, and what comes after it waits with it.

    Args:
        groups: runs whose boards are filled in here.
        boards: all of one model.
        context: of `fork_server.start_fork_server`.
        watcher: told of every start, report and end.
        backstop: knows which batch sizes must run out of memory.
        board_hours: no further cell is started once the boards have worked this long in all.

    Returns:
        Whether all were run; False if the hours were used up.

    Raises:
        KeyboardInterrupt: after every worker has been killed. What was finished is kept.
        RequestError: likewise, when a record cannot be written or no worker can be started any more.
    """
    queue = deque(deque(group) for group in groups)
    lanes: dict[Team, deque[Run]] = {}
    active: dict[Team, Active] = {}
    spent_s = 0.0
    try:
        while True:
            while True:
                for team, lane in [*lanes.items()]:
                    while team not in active and lane and not _used_up(spent_s, board_hours):
                        run = replace(lane.popleft(), board=team[0], peers=team[1:])
                        ending = _ending_of(run, boards, oom_guard)
                        if ending:
                            _record_end(run, *ending, watcher)
                        else:
                            active[team] = Active.start(run, context)
                            watcher.started(run)
                    if team not in active and not lane:
                        del lanes[team]
                free = _free_team(queue[0][0].cell.gpus, boards, lanes) if queue else None
                if free is None:
                    break
                lanes[free] = queue.popleft()
            if not active:
                return not queue and not lanes
            for team in _wait(active, watcher):
                spent_s += len(team) * _finish(active.pop(team), watcher, oom_guard)
    except BaseException:
        for running in active.values():
            running.kill()
        raise


def _free_team(num_gpus: int, boards: Sequence[Board], lanes: Iterable[Team]) -> Team | None:
    """Return boards without a group for a cell on so many GPUs; None while too few are free.

    Ranks on a CPU share the one board, and one is enough to record that there are too few.
    """
    wanted = num_gpus if boards[0].is_gpu and num_gpus <= len(boards) else 1
    taken = {board for team in lanes for board in team}
    free = [board for board in boards if board not in taken]
    return tuple(free[:wanted]) if len(free) >= wanted else None


def _ending_of(run: Run, boards: Sequence[Board], oom_guard: OomGuard) -> tuple[str, str] | None:
    """Return status and reason of a cell that is not worth a start; a record that is there stays."""
    if age_of(run) is not None and not run.again:
        return None
    if run.board.is_gpu and run.cell.gpus > len(boards):
        return "unsupported", f"asks for {run.cell.gpus} GPUs of one model, and {len(boards)} may be used here"
    because = oom_guard.implies(run.cell)
    return ("oom", because) if because else None


def _used_up(spent_s: float, board_hours: float | None) -> bool:
    return board_hours is not None and spent_s >= 3600 * board_hours


def _wait(active: Mapping[Team, Active], watcher: Watcher) -> list[Team]:
    """Block until a worker speaks, ends or is out of time; return the boards whose worker has ended."""
    deadlines = [running.deadline_s for running in active.values() if running.deadline_s is not None]
    timeout_s = min(3600.0, max(0.0, min(deadlines) - time.monotonic())) if deadlines else None  # poll(2) takes an int
    ends = [running.end for running in active.values()]
    speakers = [running.messages for running in active.values() if not running.messages.closed]
    ready = set(wait([*speakers, *ends], timeout_s))
    ended = []
    for team, running in active.items():
        _listen(running, watcher)
        if running.deadline_s is not None and time.monotonic() >= running.deadline_s:
            running.timed_out = True
            limit, phase = running.run.budget.minutes_per_cell, running.facts.get("phase", "start")
            running.facts["because"] = f"took longer than minutes_per_cell = {limit:g}, in phase {phase}"
            running.kill()
            ended.append(team)
        elif running.end in ready:
            running.process.join()
            _listen(running, watcher)
            ended.append(team)
    return ended


def _listen(running: Active, watcher: Watcher) -> None:
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


def _finish(running: Active, watcher: Watcher, oom_guard: OomGuard) -> float:
    """See to it that an ended worker has left a record; return the seconds it held its board."""
    run, facts = running.run, running.facts
    running.let_go()
    age = age_of(run)  # of whoever's record: another launcher may have finished the same cell
    if age is None or (run.again and age == running.record_before):
        if "unwritten" in facts:
            raise RequestError(f"{run.cell} has no record, and goes on from its last checkpoint: {facts['unwritten']}")
        if running.timed_out:
            _record_end(run, "timeout", facts["because"], watcher)
        else:
            if running.process.exitcode in INTERRUPTIONS:
                time.sleep(PATIENCE_S)
            _record_end(run, "crashed", running.how_it_ended, watcher)
    else:
        oom_guard.observe(run.cell, facts.get("status"))
        unheard = {"status": "done", "because": "its record is there, as by another launcher; see the report"}
        watcher.ended(run, unheard | facts)
    return time.monotonic() - running.started_s


def _record_end(run: Run, status: str, because: str, watcher: Watcher) -> None:
    """Write the row of a cell whose worker could not, or was never started."""
    run.save()
    row = provenance(run.board, METHOD_VERSION) | {"status": status, "because": because, "order": run.order}
    row |= {"command": run.command, "started_at": datetime.now(UTC)}
    # Empty traces, too: those of an earlier run are not this row's.
    write_run(run.folder, run.cell, row, {table: [] for table in TABLES if table != "cells"})
    watcher.ended(run, {"status": status, "because": because})
