"""Cells on a Ray cluster: a group on one node, and the same process there as on this machine."""

from __future__ import annotations

import os
import platform
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from ampbench.bench.launch.cluster.assignment import Assignment
from ampbench.bench.launch.cluster.versions import Versions, switches_of
from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.queue.group_queue import GroupQueue
from ampbench.bench.launch.ray.cluster import connect
from ampbench.bench.launch.ray.code import Code, sent_code
from ampbench.bench.launch.ray.dispatch import Dispatch
from ampbench.bench.launch.ray.head import Head
from ampbench.bench.launch.ray.losses import Losses
from ampbench.bench.launch.ray.seats import Seat, find_seats, usable_nodes
from ampbench.bench.launch.readiness.before import refuse_unready
from ampbench.bench.launch.readiness.finding import Check, Subject
from ampbench.bench.launch.readiness.places import results_writable
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import Machine
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.bench.store.run import Run

TOKEN = re.compile("\\.seen-[0-9a-f]{16}-([0-9]{1,9})")
"""The name of a token, and the pid in it, before the name of its machine."""


@dataclass
class _Known:
    """What was found when the cluster was looked at."""

    nodes: frozenset[str] = frozenset()
    seats: dict[Board, Seat] = field(default_factory=dict)
    code: Code = field(default_factory=Code)
    console: Console | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ray:
    """A Ray cluster, as a `Launcher`."""

    address: str | None = None
    """Of an existing cluster, as `--ray-address`; None for RAY_ADDRESS, or else for one of this machine alone."""
    allow_shared: bool = False
    """Whether a GPU is measured on although somebody outside the cluster computes on it."""
    exclusive: bool = False
    """Whether one cell at a time runs on each machine."""
    mixed: bool = False
    """Whether nodes of other versions are insisted on."""
    _known: _Known = field(default_factory=_Known, repr=False, compare=False)

    def find_boards(self) -> Boards:
        """Ask every node what it has; nodes that came or went since the last time are seen."""
        ray, known = self._ray(), self._known
        nodes = usable_nodes(ray)
        if frozenset(nodes) != known.nodes:
            seats = find_seats(ray, known.code, nodes)
            if seats is None:
                known.code = sent_code(())
                seats = find_seats(ray, known.code, nodes)
            for seat in seats or ():
                if not self.mixed:
                    Versions.here().refuse_other(
                        seat.versions, f"node {seat.board.host}", leave_out="take the node out of the cluster, "
                    )
            known.nodes, known.seats = frozenset(nodes), {seat.board: seat for seat in seats or ()}
        if not known.seats:
            raise RequestError("--launcher ray: the nodes of the cluster have no boards; see `ray status`")
        return Boards(used=tuple(known.seats), exclusive=self.exclusive)

    def notes(self, boards: Boards) -> Sequence[str]:
        """Say which boards the cluster has, and whether they are of several kinds."""
        seats = [self._known.seats[board] for board in boards.used]
        num_kinds, hosts = len({seat.kind for seat in seats}), dict.fromkeys(board.host for board in boards.used)
        several = f", of {num_kinds} kinds: nothing is compared across them" if num_kinds > 1 else ""
        sent = "; not all nodes have this code in its place, so it is sent" if self._known.code.archive else ""
        machines = f"{len(hosts)} machine{'s' * (len(hosts) > 1)}"
        lines = [f"Ray cluster of {machines}, {len(seats)} board{'s' * (len(seats) > 1)}{several}{sent}"]
        lines += dict.fromkeys(
            f"{seat.board.host}: Ray hands out {seat.missing_gpus} GPUs there, and NVIDIA's driver finds none: cells "
            "run on its CPU; look at nvidia-smi there, or take the node out of the cluster"
            for seat in seats
            if seat.missing_gpus
        )
        late = {seat.board.host: seat.niceness for seat in seats}
        lines += [
            f"{host}: cells run at niceness {niceness}, after all else there; start Ray with RAY_worker_niceness=0"
            for host, niceness in late.items()
            if niceness > os.getpriority(os.PRIO_PROCESS, 0)
        ]
        return lines

    def machine_of(self, board: Board) -> Machine:
        """Describe the machine of a board, as its node did."""
        return self._known.seats[board].machine

    def require_ready(self, cells: Sequence[Cell], results: Path) -> None:
        """See that results can be written here; each node is asked for the rest before its first cell."""
        refuse_unready(Subject.of(cells, results, None), [Check(name="results", ask=results_writable)])
        if self._known.code.archive:
            self._known.code = sent_code(cell.model for cell in cells)

    def refuse(self, boards: Boards) -> None:
        """Leave it to the nodes, each of which refuses a board that somebody uses, and its locks."""

    def prepare(
        self,
        cells: Sequence[Cell],  # noqa: ARG002
        boards: Boards,  # noqa: ARG002
        console: Console,
        *,
        log_every_s: float,  # noqa: ARG002
    ) -> None:
        """Leave it to the nodes, each of which prepares the data of its first cell."""
        self._known.console = console

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Run groups of cells, each on one node, and what a lost node had again on another."""
        ray, known, folder = self._ray(), self._known, Folder(path=groups[0][0].folder.parents[1])
        todo = {run.cell.cell_id for group in groups for run in group}
        kinds = {known.seats[board].kind for board in boards.used}
        one_kind = dict.fromkeys(kinds, oom_guard)
        guards = one_kind if len(kinds) == 1 else OomGuard.of_kinds(folder, kinds, replaced=todo)
        with _token(folder.path) as token:
            return Dispatch(
                ray=ray,
                code=known.code,
                seats=known.seats,
                queue=GroupQueue(
                    groups,
                    boards.used,
                    kind_of=lambda board: known.seats[board].kind,
                    bound=_bound(folder, todo),
                ),
                template=Assignment(
                    runs=(),
                    place="",
                    allow_shared=self.allow_shared,
                    exclusive=self.exclusive,
                    switches=switches_of(os.environ),
                    versions=None if self.mixed else Versions.here(),
                ),
                token=token,
                watcher=watcher,
                oom_guards=guards,
                board_hours=board_hours,
                losses=Losses(ray=ray, say=self._say),
                head=Head.of(ray, self.address),
            ).run()

    def _ray(self) -> Any:
        return connect(self.address)

    def _say(self, line: str) -> None:
        (self._known.console or Console()).print(line, **PLAIN)


@contextmanager
def _token(folder: Path) -> Iterator[Path]:
    """Keep a file among the results that shows a node whether it sees them; take away those of killed launchers."""
    here = f"@{platform.node()}"
    for path in folder.glob(".seen-*"):
        ours = TOKEN.fullmatch(path.name.removesuffix(here)) if path.name.endswith(here) else None
        if ours and not psutil.pid_exists(int(ours[1])):
            path.unlink(missing_ok=True)
    token = folder / f".seen-{secrets.token_hex(8)}-{os.getpid()}{here}"
    token.write_text("A node that sees this file writes its results here itself.\n")
    try:
        yield token
    finally:
        token.unlink(missing_ok=True)


def _bound(folder: Folder, todo: set[str]) -> dict[str, str]:
    """Return group id -> environment of the rows that stay, so that a group goes on where it began."""
    rows = joined_rows(folder, ["cell_id", "group_id", "environment_id", "status"])
    return {
        row["group_id"]: row["environment_id"] for row in rows if row["status"] == "ok" and row["cell_id"] not in todo
    }
