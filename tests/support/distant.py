"""A launcher of cells on another machine, as far as a sweep can tell: it writes their records by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from ampbench.bench.launch.launcher import Launcher, Watcher
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import Machine, environment_id
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.schema.cells import CellRecord
from ampbench.schema.identity import Ending, Start
from ampbench.schema.provenance import Provenance
from ampbench.schema.statuses import Status
from ampbench.schema.traces import Traces
from ampbench.schema.version import METHOD_VERSION

BOARD = Board(board_id="GPU-0000", name="Distant GPU", driver="1.0")
MACHINE = Machine(machine="Distant GPU", driver="1.0", torch="9.9", python="3.99", cpu="?", num_cores=64)


@dataclass(frozen=True, kw_only=True)
class Distant:
    """Ends each cell in the given way, by its seed; there is no process, no lock and no GPU."""

    endings: Mapping[int, tuple[Status, str | None]]
    """Seed -> status and because."""
    machine: Machine = MACHINE
    refused: str | None = None
    calls: list[str] = field(default_factory=list)

    def find_boards(self) -> Boards:
        """Return the one board."""
        self.calls.append("find_boards")
        return Boards(used=(BOARD,))

    def notes(self, boards: Boards) -> Sequence[str]:
        """Return its place."""
        self.calls.append("notes")
        return [f"{boards.used[0].name} is far away"]

    def machine_of(self, board: Board) -> Machine:
        """Return its own machine."""
        return self.machine

    def require_ready(self, cells: Sequence[Cell], results: Path) -> None:
        """Find everything there."""
        self.calls.append("require_ready")

    def refuse(self, boards: Boards) -> None:
        """Refuse the given cells."""
        self.calls.append("refuse")
        if self.refused:
            raise RequestError(self.refused)

    def prepare(self, cells: Sequence[Cell], boards: Boards, console: Console, *, log_every_s: float) -> None:
        """Do nothing."""
        self.calls.append("prepare")

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Write a record for each run, with the provenance of its machine."""
        self.calls.append("run")
        for placed in (replace(run, board=boards.used[0]) for group in groups for run in group):
            placed.save()
            watcher.started(placed)
            status, because = self.endings.get(placed.cell.seed, ("ok", None))
            write_run(placed.folder, placed.cell, self._record(placed, status, because), Traces())
            watcher.ended(placed, {"status": status, "because": because})
        return True

    def _record(self, run: Run, status: Status, because: str | None) -> CellRecord:
        origin = Provenance(
            **asdict(self.machine),
            board=run.board.board_id,
            environment_id=environment_id(self.machine, METHOD_VERSION),
            method_version=METHOD_VERSION,
        )
        start = Start(order=run.order, command=run.command)
        return CellRecord(ending=Ending(status=status, because=because), start=start, provenance=origin)


LAUNCHERS: tuple[Launcher, ...] = (Local(), Distant(endings={}))
"""A type checker sees that each is one."""
