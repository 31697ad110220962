"""A launcher whose cells take no time: their speeds are drawn, by recipe, from known distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from ampbench.bench.machine.provenance import environment_id
from ampbench.bench.store.run import Run
from ampbench.schema.cells import CellRecord
from ampbench.schema.statuses import Status
from ampbench.schema.version import METHOD_VERSION
from tests.support.distant import Distant
from tests.support.measuring import record_of


@dataclass(frozen=True, kw_only=True)
class Drawn(Distant):
    """Ends each cell at once: `ok` with a speed of its recipe, or as `ends` says."""

    speeds: Mapping[str, float]
    """Recipe -> true speed, as a multiple of 1000 images/s."""
    spread: float = 0.01
    """Of the logs of the speeds of processes."""
    endings: Mapping[int, tuple[Status, str | None]] = field(default_factory=dict)
    ends: Callable[[Run], Status] = lambda run: "ok"
    before: Callable[[Run], None] = lambda run: None
    """Called with each run before it has its record."""
    cell_s: float = 10.0
    ran: list[str] = field(default_factory=list)
    """`recipe/batch/seed/round` of each cell, in the order in which they ran."""

    def _record(self, run: Run, status: Status, because: str | None) -> CellRecord:
        cell, ending = run.cell, self.ends(run)
        self.before(run)
        self.ran.append(f"{cell.precision.name}/{cell.batch_size}/{cell.seed}/{cell.round}")
        rng = np.random.default_rng([*cell.cell_id.encode()])
        speed = 1000 * self.speeds[cell.precision.name] * math.exp(self.spread * rng.standard_normal())
        columns = {
            **asdict(self.machine),
            "board": run.board.board_id,
            "environment_id": environment_id(self.machine, METHOD_VERSION),
            "method_version": METHOD_VERSION,
            "order": run.order,
            "command": run.command,
            "status": ending,
            "cell_s": self.cell_s,
        }
        if ending == "ok":
            columns |= {"images_per_s": speed, "num_blocks": 5, "steady_peak_bytes": 2**30, "num_steps": 100}
            columns |= {"memory_instrument": "cuda_allocator", "warmup_steady": True}
        return record_of(columns)
