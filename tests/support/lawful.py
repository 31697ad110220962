"""A launcher whose cells end by laws of memory and of speed, at once: what a search should find is known exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.plan.cell import Cell
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.schema.cells import CellRecord, Measured
from ampbench.schema.identity import Ending
from ampbench.schema.memory import MemoryPeaks
from ampbench.schema.speed import Speed, WallTime
from ampbench.schema.traces import Traces
from ampbench.schema.training import Data
from tests.support.distant import Distant

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Lawful(Distant):
    """Ends each cell by its batch size; `[budget] memory_gib_per_cell` is obeyed."""

    bytes_of: Callable[[Cell], int]
    """What a step takes."""
    images_per_s: Callable[[Cell], float | None] = lambda cell: 1000.0
    ends: Callable[[Cell], Ending | None] = lambda cell: None
    """Another ending than by these laws."""
    num_train_images: int = 50_000
    cell_s: float = 2.0
    tried: list[Cell] = field(default_factory=list)
    """The cells that were started, in order."""
    interrupt_at: int | None = None
    """Ctrl-C comes before the cell of this number."""

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        """Write a record for each run, by the laws."""
        for run in (replace(run, board=boards.used[0]) for group in groups for run in group):
            if self.interrupt_at == len(self.tried):
                raise KeyboardInterrupt
            run.save()
            watcher.started(run)
            self.tried.append(run.cell)
            record = self._by_law(run)
            write_run(run.folder, run.cell, record, Traces())
            oom_guard.observe(run.cell, record.ending.status)
            watcher.ended(run, {"status": record.ending.status, "because": record.ending.because})
        return True

    def _by_law(self, run: Run) -> CellRecord:
        cell, limit_gib = run.cell, run.budget.memory_gib_per_cell
        peak = self.bytes_of(cell)
        ending = self.ends(cell) or Ending(status="ok", because=None)
        if ending.status == "ok" and limit_gib is not None and peak > limit_gib * 2**30:
            ending = Ending(status="oom", because=f"out of memory at batch size {cell.batch_size}: by law")
        measured = Measured(data=Data(num_train_images=self.num_train_images), wall_time=WallTime(cell_s=self.cell_s))
        if ending.status == "ok":
            measured.speed = Speed(images_per_s=self.images_per_s(cell))
            measured.memory_peaks = MemoryPeaks(steady_peak_bytes=peak, startup_peak_bytes=peak)
        return replace(self._record(run, ending.status, ending.because), measured=measured)


def linear(base_mib: float, mib_per_image: float) -> Callable[[Cell], int]:
    """Memory that grows with the batch size; a 16-bit recipe takes half per image."""

    def law(cell: Cell) -> int:
        share = 0.5 if cell.precision.compute != "fp32" else 1.0
        return int(MIB * (base_mib + share * mib_per_image * cell.batch_size))

    return law
