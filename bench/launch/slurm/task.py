"""What a job does: the cells of one group, by the engine of this machine, with a report in the results folder.

The same job may be started several times: Slurm puts it back into its queue when its node fails or is taken away. What
has a record stays, and a cell at work goes on from its checkpoint.
"""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from ampbench.bench.launch.cluster.assignment import Assignment, Tell
from ampbench.bench.launch.cluster.node import Node
from ampbench.bench.launch.ended_rows import write_ended
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.slurm.losses import row_of_lost
from ampbench.bench.launch.slurm.report import Report, Reporter, following
from ampbench.bench.launch.slurm.waiting import is_done
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import choose_boards, find_boards
from ampbench.bench.machine.provenance import provenance
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.run import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupTask:
    """Is pickled, and called in the job."""

    assignment: Assignment
    report: Path
    """Where it says how far it is."""
    recorded_ns: Mapping[str, int | None]
    """Cell id -> when its record was written that is to be replaced."""
    environ: Mapping[str, str | None] = field(default_factory=dict)
    """Variables that the job must have, or must not have, whatever submitit sets."""

    def __call__(self) -> None:
        """Run what has no record yet."""
        signal.signal(signal.SIGTERM, _interrupt)  # else a worker would outlive the job until it is killed
        for name, value in self.environ.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        last = Report.read(self.report)
        report = Report(
            job_id=job_id_here(),
            restarts=int(os.environ.get("SLURM_RESTART_COUNT") or 0),
            node=os.environ.get("SLURMD_NODENAME") or platform.node(),
            losses=following(last, self.assignment.runs, self.is_done),
        )
        reporter = Reporter(self.report, report, {run.cell.cell_id: run for run in self.assignment.runs})
        reporter.write()
        self._end_lost(report)
        todo = tuple(run for run in self.assignment.runs if not self.is_done(run))
        if not todo:
            report.is_finished = report.is_whole = True
            reporter.write()
            return
        asked = replace(self.assignment, runs=todo, place=report.node, oom_guard=self._oom_guard())
        if last and last.job_id == report.job_id and last.environment_id and len(todo) < len(self.assignment.runs):
            asked = replace(asked, kinds=(last.environment_id,))  # where the group began; a group is not split
        self.serve(asked, reporter.tell)

    def serve(self, asked: Assignment, tell: Tell) -> None:
        """Run the cells on this node."""
        Node().serve(asked, tell)

    def is_done(self, run: Run) -> bool:
        """Whether a run has the record that was asked for."""
        return is_done(run, self.recorded_ns)

    def _oom_guard(self) -> OomGuard:
        """Return what is known of memory on this node: what filled another kind of board tells nothing of this one."""
        if self.assignment.runs[0].again:
            return OomGuard()
        try:
            kind = provenance(self._boards()[0]).environment_id
        except RequestError:  # the engine says it, too
            return OomGuard()
        folder = Folder(path=self.assignment.runs[0].folder.parents[1])
        return OomGuard.of_kinds(folder, [str(kind)], replaced=())[str(kind)]

    def _boards(self) -> Sequence[Board]:
        return choose_boards(find_boards(os.environ), self.assignment.gpus).used

    def _end_lost(self, report: Report) -> None:
        """Write the row of a cell during which the job was started anew again and again."""
        for run in self.assignment.runs:
            num_losses = report.losses.get(run.cell.cell_id, 0)
            how = f"job {report.job_id} was started anew"
            row = row_of_lost("GONE", how, num_losses=num_losses, was_first=False, has_moved_on=False)
            if row and not self.is_done(run):
                board = self._boards()[0]
                write_ended(replace(run, board=board), *row, provenance(board))


def job_id_here() -> str:
    """Return the id of this job, as squeue shows it; with submitit's local executor the pid of what started it.

    A process of this machine may have been started within a job of Slurm, and has that one's variables, too.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        return os.environ.get("SUBMITIT_LOCAL_JOB_ID", "")
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID", "")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Answer Slurm, which takes the node away, as Ctrl-C: the worker is killed, and the cell goes on elsewhere."""
    signal.default_int_handler(number, frame)
