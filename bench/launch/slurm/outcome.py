"""What a job that is over means for its group: all is done, a cell gets a row, another job or a person is needed."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.launch.slurm.losses import MOST_ATTEMPTS, NOBODYS_FAULT, row_of_lost
from ampbench.bench.launch.slurm.report import Report, checkpoint_ns
from ampbench.bench.launch.slurm.script import JOBS
from ampbench.bench.launch.slurm.states import State
from ampbench.bench.launch.slurm.waiting import Waiting
from ampbench.bench.plan.packages import MEASURING, how_to_install
from ampbench.bench.store.run import Run
from ampbench.schema.statuses import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """By default, that all is done."""

    row: tuple[Run, Status, str] | None = None
    """A cell that is not run again, and how its row says that it ended."""
    again: str | None = None
    """Why another job is submitted."""
    complaint: str | None = None
    """Why no other job is submitted though cells have no record."""
    is_out_of_hours: bool = False


MOST_NODES = 3
"""That refuse a group one after the other; what keeps it from running is then hardly the nodes' own."""


def outcome_of(
    one: Waiting,
    state: State,
    how: str,
    report: Report | None,
    log: Path,
    *,
    is_news: bool = True,
    num_nodes: int = 1,
) -> Outcome:
    """Decide.

    Args:
        one: the group; what its job told was handed on.
        state: of the job, which is over.
        how: it ended, in words.
        report: of the job; None if it has said nothing.
        log: what the job printed.
        is_news: whether it was not over yet when this launcher came.
        num_nodes: that its jobs may go to.
    """
    missing = one.missing
    if not missing:
        return Outcome()
    if report and report.refused:
        return _elsewhere(one, report.node, report.refused, num_nodes if is_news else None)
    if report and report.is_finished and not report.is_whole:
        return Outcome(is_out_of_hours=True)
    count = f"{len(missing)} {'cell has' if len(missing) == 1 else 'cells have'} no record"
    if state.word == "CANCELLED" and is_news:  # else a person ended it, and asks for the cells again
        return Outcome(complaint=f"{how}: {count}; the same command submits them again")
    one.attempts += 1
    lost = next((run for run in missing if report and run.cell.cell_id == report.at_work), None)
    row = None
    if report and lost:
        has_moved_on = checkpoint_ns(lost) != report.checkpoint_ns
        one.attempts = 0 if has_moved_on else one.attempts
        cell_id = lost.cell.cell_id
        ending = row_of_lost(
            state.word,
            how,
            num_losses=report.losses.get(cell_id, 0) + 1,
            was_first=next(iter(report.cells)) == cell_id,
            has_moved_on=has_moved_on,
        )
        row = (lost, *ending) if ending else None
        if row and len(missing) == 1:
            return Outcome(row=row)
    elif not (report and report.cells) and state.word not in NOBODYS_FAULT:
        said = _last_line(log)
        because = f"{how} before its first cell{f': {said}' if said else ''}{_next_move(said)}; see {log}"
        return _elsewhere(one, state.node, because, num_nodes if is_news else None)
    if one.attempts >= MOST_ATTEMPTS:
        return Outcome(row=row, complaint=f"{how}, as did {one.attempts - 1} before it: {count}; see {log}")
    return Outcome(row=row, again=f"{how}: {count}, and another job is submitted")


def _elsewhere(one: Waiting, node: str, because: str, num_nodes: int | None) -> Outcome:
    """Send a group that a node cannot run to others, if there are some: such a node is free at once, and takes all.

    Without a number of nodes it was so before this command, and the node may have been mended since.
    """
    if num_nodes is None:
        return Outcome(again=f"{because}. That was before this command, and another job is submitted")
    one.avoided[node] = because
    if len(one.avoided) < min(num_nodes, MOST_NODES):
        return Outcome(again=f"{because}. Meanwhile such cells go to other nodes")
    return Outcome(complaint=because)


def _next_move(said: str) -> str:
    """Say what to do on a node whose Python, as a job's last line tells, is not the launcher's."""
    if match := re.search(r"No module named '(\w+)", said):
        known = [match[1]] if match[1] in (*MEASURING, "submitit") else []
        return f"; on that node: {how_to_install(known).partition('; ')[2]}" if known else ""
    if sys.executable in said and "No such file" in said:
        return "; nodes need the Python of this command in the same place"
    return ""


def log_of(folder: Path, job_id: str) -> Path:
    """Return what a job prints, in the folder of the ledger."""
    return folder / JOBS / f"{job_id}_0_log.out"


KEPT = re.compile(r"(?P<job_id>[0-9]+(_[0-9]+)?)_(submitted|0_result)\.pkl")
"""What submitit keeps of a job beside its script and its output: its task and its result."""


def forget(folder: Path, live: Collection[str]) -> None:
    """Delete what submitit keeps of jobs that are over.

    Args:
        folder: of the ledger, which nobody else changes now.
        live: the ids of the others.
    """
    for path in (folder / JOBS).glob("*.pkl"):
        match = KEPT.fullmatch(path.name)
        if match and match["job_id"] not in live:
            path.unlink(missing_ok=True)


def _last_line(log: Path) -> str:
    """Return the last line that a job printed and submitit did not."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    own = [line.strip() for line in lines if line.strip() and not line.startswith("submitit ")]
    return own[-1] if own else ""
