"""The two conditions of a check, as launchers of this machine: a cell alone, and beside busy neighbours.

A CPU is one board, and has no neighbours; there the check takes it as two simulated boards, each half of the cores.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ampbench.bench.launch.launcher import Launcher, Watcher
from ampbench.bench.launch.local.fork_server import start_fork_server
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.local.neighbours import Neighbours
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run

NEIGHBOURS = "neighbours"
"""Folder of the neighbours' logs, beside the results of the cell that they disturb."""


class Conditions(Protocol):
    """The launchers of a check."""

    @property
    def alone(self) -> Launcher:
        """Runs a cell while the rest of the machine is idle."""

    @property
    def beside(self) -> Launcher:
        """Runs a cell while all other boards are at work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OfThisMachine:
    """The conditions on the boards of this machine that were chosen."""

    gpus: str | None = None
    allow_shared: bool = False

    @property
    def alone(self) -> Launcher:
        """Other launchers wait, too."""
        return Alone(gpus=self.gpus, allow_shared=self.allow_shared, exclusive=True)

    @property
    def beside(self) -> Launcher:
        """The neighbours are workers of this launcher."""
        return Beside(gpus=self.gpus, allow_shared=self.allow_shared)


@dataclass(frozen=True, kw_only=True)
class Alone(Local):
    """One cell at a time."""

    def find_boards(self) -> Boards:
        """Return the boards that were chosen, a CPU as two."""
        return halved(Local.find_boards(self))


@dataclass(frozen=True, kw_only=True)
class Beside(Local):
    """Each cell has neighbours of its own kind on all other boards, from before its start until after its end."""

    def find_boards(self) -> Boards:
        """Return the boards that were chosen, a CPU as two."""
        return halved(Local.find_boards(self))

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Run one cell after the other on the first boards.

        Raises:
            RequestError: a neighbour ended before its time; the record of the cell beside it is deleted.
        """
        context = start_fork_server()
        for run in (run for group in groups for run in group):
            own, *others = teams_of(boards.used, run.cell.gpus)
            folder = run.folder.parents[1] / NEIGHBOURS
            shutil.rmtree(folder, ignore_errors=True)
            beside = [
                replace(run, folder=folder / str(i), board=team[0], peers=team[1:]) for i, team in enumerate(others, 1)
            ]
            with Neighbours(beside, context, watcher) as neighbours:
                alone = replace(boards, used=own)
                Local.run(self, [[run]], alone, watcher=watcher, oom_guard=oom_guard, board_hours=board_hours)
            if neighbours.lost:
                run.record_path.unlink(missing_ok=True)
                lost = "; ".join(neighbours.lost)
                raise RequestError(f"{lost}, while {run.cell} was timed beside it; the same command goes on")
            shutil.rmtree(folder, ignore_errors=True)
        return True


def halved(boards: Boards) -> Boards:
    """Return the boards of a check: a CPU alone as two simulated boards, all others as they are."""
    if boards.used == (Board(board_id="cpu"),) and len(os.sched_getaffinity(0)) > 1:
        return replace(boards, used=tuple(Board(board_id=f"cpu:{i}/2") for i in range(2)))
    return boards


def teams_of(boards: Sequence[Board], gpus: int) -> list[tuple[Board, ...]]:
    """Return the boards by teams for cells on so many GPUs; what is left over stays idle. Ranks on a CPU share one."""
    size = gpus if boards[0].is_gpu else 1
    return [tuple(boards[i : i + size]) for i in range(0, len(boards) - size + 1, size)]
