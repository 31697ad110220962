"""A job of Slurm that trains nothing: everything else about it is real, and it costs a second and not ten."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from ampbench.bench.launch.cluster.assignment import Assignment, Said, Tell
from ampbench.bench.launch.ended_rows import write_ended
from ampbench.bench.launch.slurm.task import GroupTask
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance


@dataclass(frozen=True, kw_only=True, slots=True)
class QuickTask(GroupTask):
    """Writes a record for each run, and a line for each start into `starts.txt` of the results."""

    cell_s: float = 0.0
    """How long a cell of seed 0 takes."""
    checkpoint: bool = False
    """Whether a cell writes a checkpoint as soon as it starts."""

    def serve(self, asked: Assignment, tell: Tell) -> None:
        board = Board(board_id="cpu", host=asked.place)
        for run in asked.runs:
            run = replace(run, board=board)
            run.save()
            tell(Said(kind="started", cell_id=run.cell.cell_id, boards=run.boards))
            with (run.folder.parents[1] / "starts.txt").open("a") as file:
                file.write(f"{run.cell}\n")
            if self.checkpoint:
                (run.folder / "checkpoint.pt").write_text(str(time.time_ns()))
            time.sleep(self.cell_s if run.cell.seed == 0 else 0)
            write_ended(run, "ok", "", provenance(board))
            tell(Said(kind="ended", cell_id=run.cell.cell_id, boards=run.boards, facts={"status": "ok", "cell_s": 1.0}))
        tell(Said(kind="finished", facts={"is_whole": True}))
