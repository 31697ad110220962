"""What `--plan` shows of a launcher of Slurm: the arrays that it would submit, and the script of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ampbench.bench.launch.groups import groups_of
from ampbench.bench.launch.slurm.ledger import FOLDER
from ampbench.bench.launch.slurm.partitions import find_partition
from ampbench.bench.launch.slurm.resources import Resources
from ampbench.bench.launch.slurm.script import array_stem, executor_of, parameters, script_of
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.folder import Folder


def script_lines(resources: Resources, plan: Plan, cells: Sequence[Cell], results: Path | None) -> Iterator[str]:
    """Yield the lines; nothing is submitted, and nothing written.

    Args:
        resources: that are asked for.
        plan: the whole of it.
        cells: those chosen on the command line.
        results: as in `Options`.

    Raises:
        RequestError: there is no such partition, no sbatch, or no submitit.
    """
    folder = Folder.of(plan, results)
    done = folder.done(plan.cells)
    todo = [cell for cell in cells if cell.cell_id not in done]
    groups = groups_of(plan, todo, folder, Board(board_id="cpu"), command="", again=False)
    if not groups:
        return
    yield ""
    if resources.cluster == "local":
        yield f"{len(groups)} groups, each by a process of this machine, one at a time on a board."
        return
    partition = find_partition(resources.partition)
    for gpus in dict.fromkeys(group[0].cell.gpus for group in groups):
        part = [group for group in groups if group[0].cell.gpus == gpus]
        values = parameters(resources, part, f"{array_stem(folder.path)}-…", partition)
        script = script_of(executor_of("slurm", folder.path / FOLDER, values), len(part))
        yield f"{len(part)} {'job' if len(part) == 1 else 'jobs'}, one a group, by sbatch:"
        yield from (f"    {line}".rstrip() for line in script.splitlines())
