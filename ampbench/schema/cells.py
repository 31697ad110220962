"""The record of a cell, put together from groups of columns, each of which one place in the worker returns."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any

from ampbench.schema.board import BoardState, EnergyToAccuracy
from ampbench.schema.column import values_of
from ampbench.schema.identity import Ending, Start
from ampbench.schema.learning import BestEpoch, Course, Evaluation, LastEpoch
from ampbench.schema.memory import DataMemory, MemoryPeaks, MemoryTrace, StaticMemory
from ampbench.schema.notes import Notes
from ampbench.schema.precision import Divergence, DtypesSeen, LossScaling
from ampbench.schema.provenance import Provenance
from ampbench.schema.speed import Speed, Stopping, WallTime
from ampbench.schema.start import StartOfTraining
from ampbench.schema.training import Data, Layout, Network
from ampbench.schema.work import Bound, Operations, Peaks, StepPhases, Utilisation, WorkByKind


@dataclass(kw_only=True, slots=True)
class Measured:
    """What has been measured of a cell so far, group by group: a cell that ends early keeps it."""

    dtypes: DtypesSeen = DtypesSeen()
    layout: Layout = Layout()
    loss_scaling: LossScaling = LossScaling()
    divergence: Divergence = Divergence()
    speed: Speed = Speed()
    stopping: Stopping = Stopping()
    start_of_training: StartOfTraining = StartOfTraining()
    wall_time: WallTime = WallTime()
    phases: StepPhases = StepPhases()
    work: WorkByKind = WorkByKind()
    bound: Bound = Bound()
    operations: Operations = Operations()
    peaks: Peaks = Peaks()
    utilisation: Utilisation = Utilisation()
    memory_peaks: MemoryPeaks = MemoryPeaks()
    static_memory: StaticMemory = StaticMemory()
    data_memory: DataMemory = DataMemory()
    memory_trace: MemoryTrace = MemoryTrace()
    board_state: BoardState = BoardState()
    energy_to_accuracy: EnergyToAccuracy = EnergyToAccuracy()
    evaluation: Evaluation = Evaluation()
    """Of the final epoch."""
    best_epoch: BestEpoch = BestEpoch()
    last_epoch: LastEpoch = LastEpoch()
    course: Course = Course()
    data: Data = Data()
    network: Network = Network()
    notes: Notes = Notes()


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRecord:
    """All that a run records of its cell besides the cell's own settings; a row of cells.parquet."""

    ending: Ending
    start: Start = Start()
    provenance: Provenance = Provenance()
    measured: Measured = dataclasses.field(default_factory=Measured)

    @property
    def values(self) -> dict[str, Any]:
        """Column -> value, as they are written."""
        groups = (self.ending, *values_of(self.measured).values(), self.provenance, self.start)
        return {name: value for group in groups for name, value in values_of(group).items()}


MEASURED: tuple[type, ...] = tuple(typing.get_type_hints(Measured).values())
"""The groups of columns that a worker fills in, in the order of the table."""
