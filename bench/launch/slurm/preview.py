"""What `--plan` shows of a launcher of Slurm: the arrays that it would submit, and the script of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ampbench.bench.launch.slurm.ledger import FOLDER
from ampbench.bench.launch.slurm.partitions import find_partition
from ampbench.bench.launch.slurm.script import executor_of, parameters, script_of
from ampbench.bench.launch.slurm.slurm import Slurm
from ampbench.bench.store.run import Run


def script_lines(launcher: Slurm, groups: Sequence[Sequence[Run]], results: Path) -> Iterator[str]:
    """Yield the lines; nothing is submitted, and nothing written.

    Args:
        launcher: with the resources that were asked for.
        groups: that would run.
        results: their folder.

    Raises:
        RequestError: there is no such partition, no sbatch, or no submitit.
    """
    if not groups:
        return
    if launcher.is_local:
        yield f"Each of {len(groups)} groups would be a process of this machine, one a board at a time."
        return
    partition = find_partition(launcher.resources.partition)
    for gpus in dict.fromkeys(group[0].cell.gpus for group in groups):
        part = [group for group in groups if group[0].cell.gpus == gpus]
        values = parameters(launcher.resources, part, f"{results.name}-…", partition)
        script = script_of(executor_of("slurm", results / FOLDER, values), len(part))
        yield ""
        yield f"An array of {len(part)} {'job' if len(part) == 1 else 'jobs'}, one a group, by sbatch:"
        yield from (f"    {line}".rstrip() for line in script.splitlines())
