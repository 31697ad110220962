"""Where cells run, as far as a sweep has to know: its boards, what it refuses, and that every cell gets its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import Machine
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.run import Run


class Watcher(Protocol):
    """Whoever shows the progress."""

    def started(self, run: Run) -> None:
        """A worker was started."""

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """A worker reported its phase or its speed."""

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        """A cell has its record; `facts` has at least its status."""


class Launcher(Protocol):
    """Where cells run. A sweep calls these in this order, from `require_ready` on only if there are cells to run."""

    def find_boards(self) -> Boards:
        """Return the boards to use, all of one model and on machines that may be compared, and those left aside.

        Raises:
            RequestError: there is no such board, or no label of a cell that runs there would be true.
        """

    def notes(self, boards: Boards) -> Sequence[str]:
        """Return lines on this choice of boards that a person should read."""

    def machine_of(self, board: Board) -> Machine | None:
        """Describe the machine on which a cell of this board runs: rows of another one are not mixed with its rows.

        None if it is known only once a cell runs there, as on a cluster with a queue.
        """

    def require_ready(self, cells: Sequence[Cell], results: Path) -> None:
        """See, in milliseconds, that the machine has what these cells need: packages, memory, room, data.

        Args:
            cells: all that are to be run.
            results: the folder of their results.

        Raises:
            RequestError: all that is missing, in one message.
        """

    def refuse(self, boards: Boards) -> None:
        """See that cells can be measured on the boards.

        Raises:
            RequestError: they cannot, or would be measured together with somebody else's work.
        """

    def prepare(self, cells: Sequence[Cell], boards: Boards, console: Console, *, log_every_s: float) -> None:
        """Get ready for these cells, their data too.

        Args:
            cells: all that are to be run.
            boards: of `find_boards`.
            console: shows how far it is.
            log_every_s: between two lines where it is no terminal.

        Raises:
            RequestError: no worker can start, or data cannot be used; all that is wrong with any is in the message.
            KeyboardInterrupt: what is ready is kept.
        """

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Run groups of cells to their records; no group is split over boards of its own choice.

        Every run has a record afterwards, written where `Run.folder` says: by its worker; or by the launcher, if the
        worker died, ran out of time, or was not started since `oom_guard` knows its end. Such a row, too, has the
        provenance of the machine on which its cell ran or would have run.

        Args:
            groups: runs that differ in precision alone, to be compared; their boards are filled in here.
            boards: of `find_boards`.
            watcher: told of every start, report and end.
            oom_guard: knows which batch sizes must run out of memory, and is told of those that did.
            board_hours: no further cell is started once the boards have worked this long in all.

        Returns:
            Whether all were run; False if the hours were used up.

        Raises:
            KeyboardInterrupt: after every worker has been killed. What was finished is kept.
            RequestError: likewise, when a record cannot be written or no worker can be started any more.
        """
