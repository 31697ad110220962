"""Groups on their way through a cluster: submitted, waited for, submitted once more; it blocks, and looks seldom.

What is known of a group comes from three places: records say what is done, its report what its job does, and Slurm
whether that job is still there. Nothing else is needed, so the launcher may be killed and started again at any moment.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ampbench.bench.launch.cluster.assignment import Said
from ampbench.bench.launch.ended_rows import write_ended
from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.slurm.ledger import Array, Job, Ledger
from ampbench.bench.launch.slurm.outcome import forget, log_of, outcome_of
from ampbench.bench.launch.slurm.report import Report, report_path
from ampbench.bench.launch.slurm.scheduler import Scheduler
from ampbench.bench.launch.slurm.script import array_stem
from ampbench.bench.launch.slurm.standing import Standing
from ampbench.bench.launch.slurm.states import State, how_it_ended
from ampbench.bench.launch.slurm.waiting import Waiting, arrays_of
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run
from ampbench.schema.provenance import Provenance
from ampbench.schema.statuses import Status

ELSEWHERE = {"status": "done", "because": "its record is there, as by another launcher; see the report"}


@dataclass
class Dispatch:
    """All groups of one call of the launcher."""

    scheduler: Scheduler
    ledger: Ledger
    cluster: str
    task_of: Callable[[Waiting, Sequence[str]], Callable[[], None]]
    """What the job of a group calls, with the ids of its boards where they are known."""
    parameters_of: Callable[[Sequence[Sequence[Run]], str, Sequence[str]], Mapping[str, Any]]
    """Of submitit, for an array of that name, beside the arrays of these ids, which are not over."""
    standing: Standing
    """Tells a person how far the jobs are."""
    watcher: Watcher
    oom_guard: OomGuard
    board_hours: float | None
    boards: Sequence[Board] = ()
    """Where jobs run on this machine: each gets its own, and no more are started than there are."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """Why cells have no record in the end."""
    spent_s: float = 0.0
    is_out_of_hours: bool = False
    num_nodes: int = 1
    """That jobs may go to."""

    def run(self, groups: Sequence[Waiting], poll_s: tuple[float, float]) -> bool:
        """Run all groups; return whether the hours were enough.

        Args:
            groups: to run.
            poll_s: how long it waits between two looks, at least while there is news, and at most.

        Raises:
            RequestError: cells have no record, and why.
        """
        self.waiting = {one.group_id: one for one in groups}
        pause_s = poll_s[0]
        while True:
            with self.ledger.changing():
                self._adopt()
                self._submit()
                forget(self.ledger.folder, [array.job_id(job) for array, job in self.ledger.live])
            if not self.waiting:
                break
            time.sleep(pause_s)
            pause_s = poll_s[0] if self._look() else min(1.25 * pause_s, poll_s[1])
        if self.complaints:
            more = f" ({len(self.complaints) - 1} more like this)" if len(self.complaints) > 1 else ""
            raise RequestError(f"{self.complaints[0]}{more}")
        return not self.is_out_of_hours

    def job_ids(self) -> list[str]:
        """Return the jobs that are queued or at work for these groups."""
        self.ledger.read()
        return [array.job_id(job) for array, job in self.ledger.live if job.group_id in self.waiting and array.array_id]

    def _adopt(self) -> None:
        """Find the arrays that a launcher wrote down and did not live to learn the id of."""
        for array in [array for array in self.ledger.arrays if array.array_id is None]:
            if found := self.scheduler.find(array):
                self.ledger.change(array.name, array_id=found)
            else:
                self.ledger.drop(array.name)

    def _submit(self) -> None:
        """Submit the groups that no job runs, in arrays of groups that want as many GPUs."""
        live = self.ledger.live
        busy = {job.group_id for _, job in live}
        for group_id, one in [*self.waiting.items()]:
            if group_id not in busy and (not one.missing or self.is_out_of_hours):
                self._leave(group_id)
        ready = [one for group_id, one in self.waiting.items() if group_id not in busy]
        if self.boards:
            taken = {board_id for _, job in live for board_id in job.boards}
            free = [board.board_id for board in self.boards if board.board_id not in taken]
            for one in ready:
                wanted = min(one.gpus, len(self.boards)) if self.boards[0].is_gpu else 1
                if len(free) < wanted:
                    break  # what comes after it waits with it, or it would wait for ever
                team, free = free[:wanted], free[wanted:]
                self._submit_array([one], team)
        elif ready:
            for part in arrays_of(ready, self.scheduler.largest_array()):
                self._submit_array(part, ())

    def _submit_array(self, part: Sequence[Waiting], boards: Sequence[str]) -> None:
        jobs = tuple(Job(group_id=one.group_id, task=i, boards=tuple(boards)) for i, one in enumerate(part))
        array = Array(
            name=f"{array_stem(self.ledger.folder.parent)}-{uuid.uuid4().hex[:8]}", cluster=self.cluster, jobs=jobs
        )
        others = tuple(dict.fromkeys(str(other.array_id) for other, _ in self.ledger.live))
        values, avoided = {**self.parameters_of([one.missing for one in part], array.name, others)}, part[0].avoided
        if avoided:
            values["exclude"] = ",".join([*filter(None, [values.get("exclude")]), *avoided])
        self.ledger.add(array)
        try:
            submitted = self.scheduler.submit(array, [self.task_of(one, boards) for one in part], values)
        except RequestError:
            self.ledger.drop(array.name)
            if not avoided:
                raise
            for one in part:  # no other node may have it
                self._complain([*avoided.values()][-1])
                self._leave(one.group_id)
            return
        self.ledger.change(array.name, array_id=submitted.array_id, started_s=submitted.started_s)
        for one, job in zip(part, submitted.jobs, strict=True):
            one.alive.add(submitted.job_id(job))
        self.standing.submitted(submitted)

    def _look(self) -> bool:
        """See what reports and Slurm say; return whether there was news."""
        self.ledger.read()
        ours = [(array, job) for array, job in self.ledger.live if job.group_id in self.waiting and array.array_id]
        states: dict[str, State] = {}
        try:
            states = self.scheduler.states({array.name: array for array, _ in ours}.values())
        except RequestError as e:
            self.standing.deaf(str(e))
        is_news = len(ours) < len(self.waiting)
        for array, job in ours:
            one, job_id = self.waiting[job.group_id], array.job_id(job)
            one.job_ids.add(job_id)
            report, num_ended = self._hear(one), len(one.ended)
            report = report if report and report.job_id == job_id else None
            is_news |= len(one.ended) > num_ended
            state = states.get(job_id)
            if state and not state.is_over:
                one.alive.add(job_id)
            if (report and report.is_finished) or (state and state.is_over):
                is_news = True
                self._settle(array, job, state or State(word="COMPLETED"), report)
        ids = [array.job_id(job) for array, job in ours]
        self.standing.show({job_id: states[job_id] for job_id in ids if job_id in states})
        if self.board_hours is not None and self.spent_s >= 3600 * self.board_hours and not self.is_out_of_hours:
            self.is_out_of_hours = True
            self.scheduler.cancel([job_id for job_id, state in states.items() if state.is_queued])
        return is_news

    def _hear(self, one: Waiting) -> Report | None:
        """Read a group's report, and tell the watcher what is new of the cells that this launcher was asked to run."""
        report = Report.read(report_path(self.ledger.folder, one.group_id))
        runs = {run.cell.cell_id: run for run in one.runs}
        if report is None or report.job_id not in one.job_ids:
            return report
        for said in one.listener.news(report):
            if said.kind == "line":
                self.standing.say(str(said.facts["because"]))
            elif said.cell_id in runs and said.cell_id not in one.ended and said.boards:
                if said.kind == "started":
                    one.at_work = self._seats(one, said.boards, report.job_id)
                placed = replace(runs[said.cell_id], board=one.at_work[0], peers=one.at_work[1:])
                if said.kind == "ended" and report.environment_id:
                    one.kinds = frozenset([report.environment_id])
                self._tell(one, placed, said)
        return report

    def _seats(self, one: Waiting, boards: Sequence[Board], job_id: str) -> tuple[Board, ...]:
        """Return the boards as a person is told of them: with the job where two jobs of a node share one in turns."""
        taken = {board for other in self.waiting.values() if other is not one for board in other.at_work}
        return tuple(replace(each, host=f"{each.host}, job {job_id}") if each in taken else each for each in boards)

    def _tell(self, one: Waiting, run: Run, said: Said) -> None:
        if said.kind == "started":
            self.watcher.started(run)
        elif said.kind == "told":
            self.watcher.told(run, said.facts)
        else:
            one.ended.add(said.cell_id)
            one.attempts, one.at_work = 0, ()
            self.spent_s += len(run.boards) * float(said.facts.get("cell_s") or 0)
            self.oom_guard.observe(run.cell, said.facts.get("status"))
            self.watcher.ended(run, said.facts)

    def _settle(self, array: Array, job: Job, state: State, report: Report | None) -> None:
        """See what a job that is over has left, and whether its group needs another one."""
        one, job_id = self.waiting[job.group_id], array.job_id(job)
        how, log = how_it_ended(job_id, state), log_of(self.ledger.folder, job_id)
        with self.ledger.changing():
            if not any(array.name == a.name and job.task == j.task for a, j in self.ledger.live):
                return  # another launcher on this folder has dealt with it
            outcome = outcome_of(one, state, how, report, log, is_news=job_id in one.alive, num_nodes=self.num_nodes)
            one.at_work = ()
            if outcome.row and report:
                self._record(one, *outcome.row, report)
            self.ledger.end(array.name, job.task)
        if outcome.complaint and not (self.is_out_of_hours and state.word == "CANCELLED"):
            self._complain(outcome.complaint)
        self.is_out_of_hours |= outcome.is_out_of_hours
        if outcome.again:
            (self.standing.say_once if one.avoided else self.standing.say)(outcome.again)
        else:
            self._leave(job.group_id)

    def _complain(self, because: str) -> None:
        self.complaints.append(because)
        self.standing.say_once(because)

    def _leave(self, group_id: str) -> None:
        """Wait no longer for a group; what another launcher has finished of it is told."""
        one = self.waiting.pop(group_id)
        self._hear(one)
        missing = {run.cell.cell_id for run in one.missing}
        for run in one.runs:
            if run.cell.cell_id not in one.ended | missing:
                self.watcher.started(run)
                self.watcher.ended(run, ELSEWHERE)

    def _record(self, one: Waiting, run: Run, status: Status, because: str, report: Report) -> None:
        boards = tuple(Board.from_json(board) for board in report.cells[run.cell.cell_id]["boards"])
        placed = replace(run, board=boards[0], peers=boards[1:])
        write_ended(placed, status, because, Provenance(**(report.provenance or {})))
        facts = {"status": status, "because": because}
        self._tell(one, placed, Said(kind="ended", cell_id=run.cell.cell_id, boards=boards, facts=facts))
