"""Cells on the nodes of a Slurm cluster: an array of jobs, each of which runs one group by that node's own engine.

The results folder lies on a file system that the nodes share, as home folders of clusters do: jobs write records there,
and their reports. What a node is, is known only once a job runs on it, so its versions are compared there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from ampbench.bench.launch.cluster.assignment import Assignment
from ampbench.bench.launch.cluster.versions import Versions, switches_of
from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.launch.slurm.dispatch import Dispatch
from ampbench.bench.launch.slurm.ledger import Ledger
from ampbench.bench.launch.slurm.partitions import Partition, ask, partition_for
from ampbench.bench.launch.slurm.report import report_path
from ampbench.bench.launch.slurm.resources import Resources
from ampbench.bench.launch.slurm.scheduler import LocalProcesses, Scheduler, Slurmctld
from ampbench.bench.launch.slurm.script import minutes_of, parameters, require_submitit
from ampbench.bench.launch.slurm.standing import Standing
from ampbench.bench.launch.slurm.task import GroupTask
from ampbench.bench.launch.slurm.waiting import Waiting
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import Machine
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.bench.store.run import Run

POLL_S = (2.0, 10.0)
"""Between two looks at the reports and at squeue: while there is news, and at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slurm:
    """A Slurm cluster, as a `Launcher`."""

    resources: Resources = field(default_factory=Resources)
    allow_shared: bool = False
    """Whether a GPU is measured on although somebody else computes on it."""
    exclusive: bool = False
    """Whether one cell at a time runs on a whole node, which a job then has for itself."""
    mixed: bool = False
    """Whether nodes of other versions than the launcher's are insisted on."""
    poll_s: tuple[float, float] = POLL_S
    task: Callable[..., GroupTask] = GroupTask
    """What a job calls; tests have one that trains nothing."""
    shown_on: list[tuple[Console, float]] = field(default_factory=list, compare=False)
    """The console that `prepare` was given, and the seconds between two of its lines."""

    @property
    def is_local(self) -> bool:
        """Whether jobs are processes of this machine."""
        return self.resources.cluster == "local"

    @property
    def local(self) -> Local:
        """This machine."""
        return Local(allow_shared=self.allow_shared, exclusive=self.exclusive)

    def find_boards(self) -> Boards:
        """Return this machine's; or one that stands for all of a partition, which are found by its jobs."""
        require_submitit()  # if it is missing, that is said first
        if self.is_local:
            return self.local.find_boards()
        ask("sbatch", "--version")
        partition = partition_for(self.resources)
        kind = "gpu" if partition.most_gpus else "cpu"
        return Boards(used=(Board(board_id=kind, name=kind if partition.most_gpus else None, host=partition.name),))

    def notes(self, boards: Boards) -> Sequence[str]:
        """Say of this machine what it would say itself."""
        return self.local.notes(boards) if self.is_local else ()

    def machine_of(self, board: Board) -> Machine | None:
        """Describe this machine; what a node is, its job will see."""
        return self.local.machine_of(board) if self.is_local else None

    def require_ready(self, cells: Sequence[Cell], results: Path) -> None:
        """See what this machine has, if it is the one; a job sees what its node has."""
        if self.is_local:
            self.local.require_ready(cells, results)

    def refuse(self, boards: Boards) -> None:
        """Refuse boards of this machine that somebody else uses; a job refuses those of its node."""
        if self.is_local:
            self.local.refuse(boards)

    def prepare(self, cells: Sequence[Cell], boards: Boards, console: Console, *, log_every_s: float) -> None:  # noqa: ARG002
        """Keep the console: a job prepares the data on its node."""
        self.shown_on[:] = [(console, log_every_s)]

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Submit the groups that no job runs, and wait for all; whoever interrupts leaves jobs in Slurm's queue."""
        results = groups[0][0].folder.parents[1]
        ledger = Ledger.of(results)
        partition = self._partition()
        console, log_every_s = self.shown_on[0] if self.shown_on else (Console(quiet=True), 30.0)

        def task_of(one: Waiting, boards: Sequence[str]) -> GroupTask:
            asked = Assignment(
                runs=one.missing,
                place="",  # the job knows
                gpus=",".join(boards) or None,
                allow_shared=self.allow_shared,
                on_gpu=partition is not None and partition.most_gpus > 0,
                exclusive=self.exclusive,
                switches=switches_of(os.environ),
                versions=None if self.mixed else Versions.here(),
                kinds=() if self.mixed else one.kinds,
                board_hours=board_hours,
            )
            visible = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES")} if self.is_local else {}
            report = report_path(ledger.folder, one.group_id)
            return self.task(assignment=asked, report=report, recorded_ns=one.recorded_ns, environ=visible)

        def parameters_of(part: Sequence[Sequence[Run]], name: str, others: Sequence[str]) -> Mapping[str, Any]:
            if partition is None:
                return {"time": minutes_of(self.resources, part, None)}
            return parameters(self.resources.of_whole_nodes(self.exclusive), part, name, partition, after=others)

        dispatch = Dispatch(
            scheduler=self._scheduler(ledger.folder),
            ledger=ledger,
            cluster=self.resources.cluster,
            task_of=task_of,
            parameters_of=parameters_of,
            standing=Standing(console=console, log_every_s=log_every_s),
            watcher=watcher,
            oom_guard=oom_guard,
            board_hours=board_hours,
            num_nodes=partition.num_nodes if partition and not self.resources.nodelist else 1,
            boards=boards.used[: self.resources.array_parallelism] if self.is_local else (),
        )
        bound = kinds_of(results, groups)
        try:
            return dispatch.run(
                [Waiting.of(tuple(group), bound.get(group[0].cell.group_id, frozenset())) for group in groups],
                self.poll_s,
            )
        except KeyboardInterrupt:
            job_ids = dispatch.job_ids()
            if job_ids:
                console.print(dispatch.scheduler.how_to_end(job_ids), **PLAIN)
            raise

    def _partition(self) -> Partition | None:
        return None if self.is_local else partition_for(self.resources)

    def _scheduler(self, folder: Path) -> Scheduler:
        return LocalProcesses(folder=folder) if self.is_local else Slurmctld(folder=folder)


def kinds_of(results: Path, groups: Sequence[Sequence[Run]]) -> dict[str, frozenset[str]]:
    """Return group id -> environments of its rows that stay: its other cells run on one of the same."""
    replaced = {run.cell.cell_id for group in groups for run in group}
    rows = joined_rows(Folder(path=results), ["cell_id", "group_id", "environment_id", "status"])
    found: dict[str, set[str]] = {}
    for row in rows:
        if row["status"] == "ok" and row["cell_id"] not in replaced and row["environment_id"]:
            found.setdefault(row["group_id"], set()).add(row["environment_id"])
    return {group_id: frozenset(kinds) for group_id, kinds in found.items()}
