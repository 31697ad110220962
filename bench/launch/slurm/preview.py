"""What `--plan` shows of a launcher of Slurm: the arrays that it would submit, and the script of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ampbench.bench.launch.groups import groups_of
from ampbench.bench.launch.slurm.ledger import FOLDER, Ledger
from ampbench.bench.launch.slurm.partitions import largest_array, partition_for
from ampbench.bench.launch.slurm.resources import Resources
from ampbench.bench.launch.slurm.script import array_stem, executor_of, parameters, require_plain, script_of
from ampbench.bench.launch.slurm.states import states_of
from ampbench.bench.launch.slurm.waiting import Waiting, arrays_of
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.words import counted
from ampbench.bench.store.folder import Folder


def script_lines(
    resources: Resources, plan: Plan, cells: Sequence[Cell], results: Path | None, *, done: Collection[str]
) -> Iterator[str]:
    """Yield the lines; nothing is submitted, and nothing written.

    Args:
        resources: that are asked for.
        plan: the whole of it.
        cells: those chosen on the command line.
        results: as in `Options`.
        done: ids of cells that are not run.

    Raises:
        RequestError: there is no such partition, no sbatch, or no submitit.
    """
    folder = Folder.of(plan, results)
    todo = [cell for cell in cells if cell.cell_id not in done]
    groups = groups_of(plan, todo, folder, Board(board_id="cpu"), command="", again=False)
    if not groups:
        return
    require_plain(folder.path / FOLDER)
    yield ""
    if resources.cluster == "local":
        yield f"{counted(len(groups), 'group')}, each by a process of this machine, one at a time on a board."
        return
    partition = partition_for(resources)
    queued = _queued(folder)
    waiting = [Waiting.of(tuple(group), frozenset()) for group in groups if group[0].cell.group_id not in queued]
    if len(waiting) < len(groups):
        num, arrays = (
            len(groups) - len(waiting),
            ", ".join(dict.fromkeys(job_id.partition("_")[0] for job_id in queued.values())),
        )
        yield f"Queued or at work already: {counted(num, 'group')}, in {arrays}; the command waits for them."
    for part in arrays_of(waiting, largest_array()):
        runs = [one.runs for one in part]
        values = parameters(resources, runs, f"{array_stem(folder.path)}-…", partition)
        script = script_of(executor_of("slurm", folder.path / FOLDER, values), len(part))
        yield f"{counted(len(part), 'job')}, one a group, by sbatch:"
        yield from (f"    {line}".rstrip() for line in script.splitlines())


def _queued(folder: Folder) -> dict[str, str]:
    """Return group id -> job, of those that an earlier command has submitted and Slurm has not ended."""
    live = {array.job_id(job): job.group_id for array, job in Ledger.of(folder.path).live if array.array_id}
    states = states_of(live) if live else {}
    return {live[job_id]: job_id for job_id, state in states.items() if not state.is_over}
