"""What a node of a cluster does with cells that it is given: the same as this machine does by itself, in `Local`.

A scheduler may have changed the environment there, the node may have other versions, and nobody reads its terminal: so
an assignment says what the launcher has, and whatever happens is told as `Said`.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ampbench.bench.launch.cluster.assignment import Assignment, Said, Tell
from ampbench.bench.launch.cluster.run_files import files_of
from ampbench.bench.launch.cluster.versions import Versions, take_switches
from ampbench.bench.launch.local.local import Local
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import environment_id
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run
from ampbench.schema.version import METHOD_VERSION

TOLD_EVERY_S = 1.0
"""Reports of one cell at most this often: beside a measurement nothing is sent that nobody can read."""

TOLD_AT_ONCE = ("phase", "about", "because", "unwritten", "status")
"""Facts that do not wait."""


class Node:
    """This machine as a node: it looks once what it is and has, and then runs what it is given."""

    def __init__(self) -> None:
        self._boards: Boards | None = None
        self._ready: set[tuple[str, str, int]] = set()

    def serve(self, assignment: Assignment, tell: Tell) -> None:
        """Run cells to their records. What keeps them from running is told; nothing that a user can mend is raised.

        Raises:
            KeyboardInterrupt: after every worker has been killed.
        """
        is_whole = False
        try:
            is_whole = self._serve(assignment, tell)
        except RequestError as e:
            tell(Said(kind="refused", facts={"because": f"on {assignment.place}: {e}"}))
        tell(Said(kind="finished", facts={"is_whole": is_whole}))

    def _serve(self, asked: Assignment, tell: Tell) -> bool:
        take_switches(os.environ, asked.switches)
        launcher = Local(gpus=asked.gpus, allow_shared=asked.allow_shared, exclusive=asked.exclusive)
        runs = [_carried(run, asked.carried_in) for run in asked.runs]
        boards = self._boards or self._look(launcher, asked)
        new = [run.cell for run in runs if _needs(run.cell) not in self._ready]
        if new:
            launcher.require_ready(new, runs[0].folder.parents[1])
        launcher.refuse(boards)
        if new:
            console = Console(file=_Lines(asked.place, tell), width=200)
            launcher.prepare(new, boards, console, log_every_s=30.0)
            self._ready |= {_needs(cell) for cell in new}
        teller = _Teller(tell, is_carried=asked.carried_in is not None)
        return launcher.run([runs], boards, watcher=teller, oom_guard=asked.oom_guard, board_hours=asked.board_hours)

    def _look(self, launcher: Local, asked: Assignment) -> Boards:
        found = launcher.find_boards()
        if asked.on_gpu and not found.used[0].is_gpu:
            raise RequestError(
                "its scheduler gave a GPU, and NVIDIA's driver finds none there, so cells would run on its CPU; see "
                "nvidia-smi there, or choose nodes without GPUs"
            )
        boards = replace(found, used=tuple(replace(board, host=asked.place) for board in found.used))
        machine = launcher.machine_of(boards.used[0])
        if asked.versions:
            asked.versions.refuse_other(Versions.here(), "it")
        if asked.kinds and environment_id(machine, METHOD_VERSION) not in asked.kinds:
            raise RequestError(
                f"its board is {machine.machine}, driver {machine.driver}, on {machine.cpu}, and these cells belong to "
                "another kind; start the same command again, which looks anew"
            )
        self._boards = boards
        return boards


def _needs(cell: Cell) -> tuple[str, str, int]:
    return cell.model, cell.data, cell.image_size


def _carried(run: Run, folder: Path | None) -> Run:
    return run if folder is None else replace(run, folder=folder / "runs" / run.folder.name)


class _Teller:
    """A `Watcher` that tells the launcher, seldom enough."""

    def __init__(self, tell: Tell, *, is_carried: bool) -> None:
        self.tell = tell
        self.is_carried = is_carried
        self._held: dict[str, Any] = {}
        self._told_s = 0.0

    def started(self, run: Run) -> None:
        """Tell of a start."""
        self._held, self._told_s = {}, 0.0
        self.tell(Said(kind="started", cell_id=run.cell.cell_id, boards=run.boards))

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Tell what was reported since the last time, or keep it for the next."""
        self._held |= facts
        now = time.monotonic()
        if now - self._told_s >= TOLD_EVERY_S or facts.keys() & set(TOLD_AT_ONCE):
            self._told_s = now
            self.tell(Said(kind="told", cell_id=run.cell.cell_id, boards=run.boards, facts=self._held))
            self._held = {}

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Tell of an end, with the files that the run left where only this node sees them."""
        files = files_of(run.folder) if self.is_carried else {}
        self.tell(Said(kind="ended", cell_id=run.cell.cell_id, boards=run.boards, facts=dict(facts), files=files))


class _Lines(io.TextIOBase):
    """A text file whose lines are told."""

    def __init__(self, place: str, tell: Tell) -> None:
        self.place, self._tell_launcher = place, tell
        self._open = ""

    def write(self, text: str) -> int:
        *lines, self._open = (self._open + text).split("\n")
        for line in filter(str.strip, lines):
            self._tell_launcher(Said(kind="line", facts={"because": f"{self.place}: {line.strip()}"}))
        return len(text)
