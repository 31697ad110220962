"""Cells on this machine: each in a fresh process, forked from one that has loaded torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.local.dispatch import run_groups
from ampbench.bench.launch.local.fork_server import check_workers, start_fork_server
from ampbench.bench.launch.local.preparation import prepare_data
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.readiness.before import refuse_unready
from ampbench.bench.launch.readiness.finding import Subject
from ampbench.bench.launch.refusals import refuse_hidden, refuse_shared, refuse_switches, refuse_unwritable_locks
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards, choose_boards, find_boards, notes_on
from ampbench.bench.machine.provenance import Machine, machine_with
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.run import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Local:
    """This machine, as a `Launcher`."""

    gpus: str | None = None
    """Indices or UUIDs of the boards; None or `all` means all of the most common model."""
    allow_shared: bool = False
    """Whether a GPU is measured on although somebody else computes on it."""
    exclusive: bool = False
    """Whether one cell at a time runs on the whole machine: cells of other launchers wait for it, too."""

    def find_boards(self) -> Boards:
        """Return the visible boards that were chosen; refuse an environment that changes what recipes do."""
        boards = choose_boards(find_boards(os.environ), self.gpus)
        refuse_switches(os.environ)
        return replace(boards, exclusive=self.exclusive)

    def notes(self, boards: Boards) -> Sequence[str]:
        """Say what of CUDA_VISIBLE_DEVICES does not do what may be meant, and which boards are left aside."""
        return [*notes_on(os.environ, boards)]

    def machine_of(self, board: Board) -> Machine:
        """Describe this machine with one of its boards."""
        return machine_with(board)

    def require_ready(self, cells: Sequence[Cell], results: Path) -> None:
        """Say all that is missing here in one message."""
        refuse_unready(Subject.of(cells, results, self.gpus))

    def refuse(self, boards: Boards) -> None:
        """Refuse boards that somebody else uses, and locks that cannot be written."""
        if not self.allow_shared:
            refuse_shared(boards.used)
        refuse_unwritable_locks(boards.used)

    def prepare(self, cells: Sequence[Cell], boards: Boards, console: Console, *, log_every_s: float) -> None:
        """Refuse what the shell hides, start the fork server, see that it has loaded all, and decode the images."""
        refuse_hidden(cells, os.environ)
        context = start_fork_server()
        check_workers(context)
        prepare_data(cells, boards.used[0], context, console, log_every_s=log_every_s)

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Run groups of cells, on each board one cell at a time; on one team of boards where cells run exclusively."""
        used = boards.used
        if boards.exclusive:
            used = used[: max((run.cell.gpus for group in groups for run in group), default=1)]
            groups = [[replace(run, exclusive=True) for run in group] for group in groups]
        return run_groups(
            groups,
            used,
            context=start_fork_server(),
            watcher=watcher,
            oom_guard=oom_guard,
            board_hours=board_hours,
        )
