"""A launcher whose cells have a made accuracy: a search at work without a process, a lock or torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import environment_id
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.schema.cells import CellRecord, Measured
from ampbench.schema.epochs import EpochRow
from ampbench.schema.identity import Ending, Start
from ampbench.schema.learning import Evaluation
from ampbench.schema.provenance import Provenance
from ampbench.schema.statuses import Status
from ampbench.schema.traces import Traces
from ampbench.schema.version import METHOD_VERSION
from tests.support.distant import BOARD, Distant


class Killed(BaseException):
    """The launcher ends without a word, as by kill -9: nothing after it runs but what the kernel does."""


@dataclass(frozen=True, kw_only=True)
class Made(Distant):
    """Ends each cell with a made accuracy."""

    accuracy: Callable[[Cell, int], float] = field(kw_only=False)
    """Of a cell after an epoch, from 1; NaN for one that fails."""
    killed_before: int | None = None
    """The cell before which it is killed, from 0."""
    ran: list[Cell] = field(default_factory=list)
    endings: Mapping[int, tuple[Status, str | None]] = field(default_factory=dict)

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Write a record for each run; it is pruned where its bars say so."""
        for run in (replace(run, board=BOARD) for group in groups for run in group):
            if self.killed_before == len(self.ran):
                raise Killed
            if board_hours is not None and board_hours <= 0:
                return False
            self.ran.append(run.cell)
            run.save()
            record, traces = self._made(run)
            write_run(run.folder, run.cell, record, traces)
            watcher.started(run)
            watcher.ended(run, {"status": record.ending.status, "because": record.ending.because})
        return True

    def _made(self, run: Run) -> tuple[CellRecord, Traces]:
        origin = Provenance(
            **asdict(self.machine),
            board=run.board.board_id,
            environment_id=environment_id(self.machine, METHOD_VERSION),
            method_version=METHOD_VERSION,
        )
        rows: list[EpochRow] = []
        ending = Ending(status="ok", because=None)
        for epoch in range(1, run.cell.epochs + 1):
            accuracy = self.accuracy(run.cell, epoch)
            if accuracy != accuracy:
                ending = Ending(status="failed", because="ValueError: made to fail")
                break
            rows.append(EpochRow(epoch=epoch, test_accuracy=accuracy, test_loss=1 - accuracy))
            seen = [(row.epoch, row.test_accuracy) for row in rows]
            if run.pruning and epoch < run.cell.epochs and (because := run.pruning.why_stopped(seen, epoch)):
                ending = Ending(status="pruned", because=because)
                break
        measured = Measured()
        if ending.status == "ok":
            measured.evaluation = Evaluation(test_accuracy=rows[-1].test_accuracy, test_loss=rows[-1].test_loss)
        start = Start(order=run.order, command=run.command)
        record = CellRecord(ending=ending, start=start, provenance=origin, measured=measured)
        return record, Traces(epochs=rows)
