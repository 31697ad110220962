"""What a job says: a small file for each group, written by its job and read by the launcher every few seconds.

The job of a group that is submitted or started once more goes on with the file of the last: what was at work then, and
is not finished, was lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ampbench.bench.launch.cluster.assignment import Said
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance
from ampbench.bench.store.atomic import write_json
from ampbench.bench.store.run import Run

GROUPS = "groups"
"""In the folder of the ledger: a report for each group."""

TOLD_EVERY_S = 5.0
"""Between two writings for the numbers of a cell at work, which nobody reads more often."""

WAITING = "waiting"
"""The phase of a cell whose board is held by another one: a job that ends meanwhile has cost it nothing."""

CHECKPOINT = "checkpoint.pt"


def report_path(folder: Path, group_id: str) -> Path:
    """Return the file of a group's report, in the folder of the ledger."""
    return folder / GROUPS / f"{group_id}.json"


@dataclass(kw_only=True, slots=True)
class Report:
    """What one job has said so far; all of it is plain JSON."""

    job_id: str = ""
    restarts: int = 0
    """How often Slurm has put the job back into its queue."""
    node: str = ""
    provenance: dict[str, Any] | None = None
    """Of the boards there; None before the first cell."""
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Cell id -> its boards, what it told last (`facts`), and whether it has ended; in the order of their starts."""
    checkpoint_ns: int | None = None
    """When the last checkpoint was written of the cell at work, as it was started."""
    losses: dict[str, int] = field(default_factory=dict)
    """Cell id -> how often its job ended while it was at work and its checkpoint had not moved on."""
    lines: list[str] = field(default_factory=list)
    """For a person."""
    refused: str | None = None
    """Why its cells do not run on that node."""
    is_finished: bool = False
    """Whether the job has done all that it was going to do."""
    is_whole: bool = False
    """Whether every cell was run, when it is finished; else the hours were used up, or it was refused."""

    @classmethod
    def read(cls, path: Path) -> Report | None:
        """Return what was written last; None if nothing was, or it cannot be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    @property
    def at_work(self) -> str | None:
        """The cell that was started and has not ended; None if there is none, or it waits for its board."""
        started = (cell_id for cell_id, cell in self.cells.items() if not cell["is_ended"])
        return next((cell_id for cell_id in started if self.phase_of(cell_id) != WAITING), None)

    def phase_of(self, cell_id: str) -> str | None:
        """Return what a cell told last that it does; None before that."""
        phase = self.cells.get(cell_id, {}).get("facts", {}).get("phase")
        return None if phase is None else str(phase)

    @property
    def environment_id(self) -> str | None:
        """Of the node; None before the first cell."""
        return (self.provenance or {}).get("environment_id")

    def take(self, said: Said, run: Run | None) -> None:
        """Note what the node says; `run` is that of the cell it is about."""
        if said.kind == "line":
            self.lines.append(str(said.facts["because"]))
        elif said.kind == "refused":
            self.refused = str(said.facts["because"])
        elif said.kind == "finished":
            self.is_finished, self.is_whole = True, bool(said.facts["is_whole"])
        else:
            cell = self.cells.setdefault(said.cell_id, {"boards": [], "facts": {}, "is_ended": False})
            cell["boards"] = [asdict(board) for board in said.boards]
            cell["facts"] |= {key: value for key, value in said.facts.items() if key != "epoch_row"}
            cell["is_ended"] = said.kind == "ended"
            if said.kind == "started" and run is not None:
                self.checkpoint_ns = checkpoint_ns(run)
                if said.boards and self.provenance is None:
                    self.provenance = asdict(provenance(said.boards[0]))


def checkpoint_ns(run: Run) -> int | None:
    """Return when a run's last checkpoint was written, by the file system's clock; None if there is none."""
    try:
        return (run.folder / CHECKPOINT).stat().st_mtime_ns
    except OSError:
        return None


def following(last: Report | None, runs: Iterable[Run], is_done: Callable[[Run], bool]) -> dict[str, int]:
    """Return the losses of a group, as the job that goes on after `last` has to count them.

    Args:
        last: of the job before; None for the first.
        runs: of the group.
        is_done: whether a run has the record that is asked for.
    """
    if last is None:
        return {}
    losses = dict(last.losses)
    for run in runs:
        if run.cell.cell_id == last.at_work and not is_done(run):
            moved_on = checkpoint_ns(run) != last.checkpoint_ns
            losses[run.cell.cell_id] = 0 if moved_on else losses.get(run.cell.cell_id, 0) + 1
    return losses


class Reporter:
    """Writes what a node says to the group's file: at once when a cell starts or ends, else now and then."""

    def __init__(self, path: Path, report: Report, runs: Mapping[str, Run]) -> None:
        self.path, self.report, self.runs = path, report, runs
        self._written_s = 0.0

    def tell(self, said: Said) -> None:
        """Take in what the node says."""
        before = self.report.phase_of(said.cell_id)
        self.report.take(said, self.runs.get(said.cell_id))
        now = self.report.phase_of(said.cell_id)
        is_awaited = before != now and WAITING in (before, now)
        if is_awaited or said.kind != "told" or time.monotonic() - self._written_s >= TOLD_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write the file."""
        self._written_s = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, asdict(self.report))


class Listener:
    """Hands what the reports of one group say on to a launcher, each thing once."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[bool, dict[str, Any]]] = {}
        self._attempt: tuple[str, int] | None = None
        self._num_lines = 0

    def news(self, report: Report) -> Iterable[Said]:
        """Yield what is new in a report."""
        if (report.job_id, report.restarts) != self._attempt:
            self._attempt, self._num_lines, self._heard = (report.job_id, report.restarts), 0, {}
        for line in report.lines[self._num_lines :]:
            yield Said(kind="line", facts={"because": line})
        self._num_lines = len(report.lines)
        for cell_id, cell in report.cells.items():
            boards = tuple(Board.from_json(board) for board in cell["boards"])
            is_ended, facts = cell["is_ended"], cell["facts"]
            if cell_id not in self._heard:
                yield Said(kind="started", cell_id=cell_id, boards=boards)
            elif self._heard[cell_id] == (is_ended, facts):
                continue
            if is_ended:
                yield Said(kind="ended", cell_id=cell_id, boards=boards, facts=facts)
            elif facts:
                yield Said(kind="told", cell_id=cell_id, boards=boards, facts=facts)
            self._heard[cell_id] = (is_ended, dict(facts))
