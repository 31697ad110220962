"""The cells of this machine: one queue of groups, one worker process at a time on each board.

While workers measure, this process blocks: it neither polls nor computes beside them.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext

from ampbench.bench.launch.ended_rows import write_ended
from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.local.worker_process import WorkerProcess
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.queue.group_queue import GroupQueue
from ampbench.bench.launch.queue.places import Team
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run
from ampbench.schema.statuses import Status

INTERRUPTIONS = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
PATIENCE_S = 0.5
"""After a worker was ended by one of these: whoever stops a whole job sends it to the launcher, too, and then the cell
is interrupted and not crashed."""


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

    Args:
        groups: runs whose boards are filled in here.
        boards: all of one model.
        context: of `fork_server.start_fork_server`.
        watcher: told of every start, report and end.
        oom_guard: knows which batch sizes must run out of memory.
        board_hours: no further cell is started once the boards have worked this long in all.

    Returns:
        Whether all were run; False if the hours were used up.

    Raises:
        KeyboardInterrupt: after every worker has been killed. What was finished is kept.
        RequestError: likewise, when a record cannot be written or no worker can be started any more.
    """
    queue = GroupQueue(groups, boards)
    lanes: dict[Team, deque[Run]] = {}
    active: dict[Team, WorkerProcess] = {}
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
                            active[team] = WorkerProcess.start(run, context)
                            watcher.started(run)
                    if team not in active and not lane:
                        del lanes[team]
                        queue.release(team)
                begun = queue.take()
                if begun is None:
                    break
                team, lanes[team] = begun
            if not active:
                return not queue.num_waiting and not lanes
            for team in _wait(active, watcher):
                worker = active.pop(team)
                took_s = _finish(worker, watcher, oom_guard)
                queue.learn(worker.run, took_s)
                spent_s += len(team) * took_s
    except BaseException:
        for worker in active.values():
            worker.kill()
        raise


def _ending_of(run: Run, boards: Sequence[Board], oom_guard: OomGuard) -> tuple[Status, str] | None:
    """Return status and reason of a cell that is not worth a start; a record that is there stays."""
    if run.recorded_ns is not None and not run.again:
        return None
    if run.board.slice_of and run.cell.gpus > 1:
        return "unsupported", f"asks for {run.cell.gpus} GPUs, and NCCL connects no MIG slices: run it on whole boards"
    if run.board.is_gpu and run.cell.gpus > len(boards):
        return "unsupported", f"asks for {run.cell.gpus} GPUs of one model, and {len(boards)} may be used here"
    because = oom_guard.implies(run.cell)
    return ("oom", because) if because else None


def _used_up(spent_s: float, board_hours: float | None) -> bool:
    return board_hours is not None and spent_s >= 3600 * board_hours


def _wait(active: Mapping[Team, WorkerProcess], watcher: Watcher) -> list[Team]:
    """Block until a worker speaks, ends or is out of time; return the boards whose worker has ended."""
    deadlines = [worker.deadline_s for worker in active.values() if worker.deadline_s is not None]
    timeout_s = min(3600.0, max(0.0, min(deadlines) - time.monotonic())) if deadlines else None  # poll(2) takes an int
    ends = [worker.end for worker in active.values()]
    speakers = [worker.messages for worker in active.values() if not worker.messages.closed]
    ready = set(wait([*speakers, *ends], timeout_s))
    ended = []
    for team, worker in active.items():
        worker.listen(watcher)
        if worker.deadline_s is not None and time.monotonic() >= worker.deadline_s:
            worker.time_out()
            ended.append(team)
        elif worker.end in ready:
            worker.process.join()
            worker.listen(watcher)
            ended.append(team)
    return ended


def _finish(worker: WorkerProcess, watcher: Watcher, oom_guard: OomGuard) -> float:
    """See to it that an ended worker has left a record; return the seconds it held its board."""
    run, facts = worker.run, worker.facts
    worker.let_go()
    if worker.has_left_no_record:
        if "unwritten" in facts:
            raise RequestError(f"{run.cell} has no record, and goes on from its last checkpoint: {facts['unwritten']}")
        if worker.timed_out:
            _record_end(run, "timeout", facts["because"], watcher)
        else:
            if worker.process.exitcode in INTERRUPTIONS:
                time.sleep(PATIENCE_S)
            _record_end(run, "crashed", worker.how_it_ended, watcher)
    else:
        oom_guard.observe(run.cell, facts.get("status"))
        unheard = {"status": "done", "because": "its record is there, as by another launcher; see the report"}
        watcher.ended(run, unheard | facts)
    return time.monotonic() - worker.started_s


def _record_end(run: Run, status: Status, because: str, watcher: Watcher) -> None:
    """Write the row of a cell whose worker could not, or was never started."""
    write_ended(run, status, because, provenance(run.board))
    watcher.ended(run, {"status": status, "because": because})
