"""The row of a cell that its launcher ends: its worker could not write one, or was never started."""

from __future__ import annotations

from datetime import UTC, datetime

from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.schema.cells import CellRecord
from ampbench.schema.identity import Ending
from ampbench.schema.provenance import Provenance
from ampbench.schema.statuses import Status
from ampbench.schema.traces import Traces


def write_ended(run: Run, status: Status, because: str, origin: Provenance) -> None:
    """Write it.

    Args:
        run: with its boards.
        status: how it ended.
        because: in words.
        origin: the machine on which it ran or would have run.

    Raises:
        OSError: it cannot be written.
    """
    run.save()
    record = CellRecord(
        ending=Ending(status=status, because=because),
        start=run.start(datetime.now(UTC)),
        provenance=origin,
    )
    write_run(run.folder, run.cell, record, Traces())  # no traces: those of an earlier run are not this row's
