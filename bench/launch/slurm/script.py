"""The script of an array, as submitit writes it for sbatch: what its jobs ask for, and what they start."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ampbench.bench.launch.slurm.partitions import Partition, require
from ampbench.bench.launch.slurm.resources import Resources
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.store.run import Run
from ampbench.path import for_nodes

JOBS = "jobs"
"""In the folder of the ledger: what submitit keeps of each job, its script and its output."""

PATTERNS = ("%", "\\", "\n")
"""What has a meaning of its own to sbatch in the name of a job's output."""

SPARE_MIN = 10
"""Beside what the cells may take: a job loads torch, prepares data, and may wait for a board."""


def array_stem(results: Path) -> str:
    """Return how the names of an experiment's arrays begin."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", results.name)


def require_submitit() -> Any:
    """Return the module `submitit`; its executor of Slurm is not begun, which is an error of its own without srun.

    Raises:
        RequestError: it is not installed.
    """
    try:
        import submitit
    except ImportError:
        raise RequestError(f"--launcher slurm: {how_to_install(['submitit'])}") from None
    return submitit


def require_plain(folder: Path) -> None:
    """Refuse a folder in whose path sbatch or submitit would replace something.

    Raises:
        RequestError: with the next move.
    """
    if found := next((character for character in PATTERNS if character in str(folder)), None):
        raise RequestError(
            f"{folder.parent}: --launcher slurm cannot write there, since sbatch reads {found!r} in a path otherwise; "
            "name another folder with --results, or the experiment's file otherwise"
        )


def executor_of(cluster: str, folder: Path, values: Mapping[str, Any]) -> Any:
    """Return submitit's executor, with the values of its parameters.

    Args:
        cluster: as in `Resources`.
        folder: of the ledger.
        values: by the names of submitit's parameters.

    Raises:
        RequestError: submitit is not installed, or Slurm's srun, which it looks for, is not; or no job can print there.
    """
    submitit = require_submitit()
    require_plain(folder)
    if cluster != "local":
        require("srun")
    kind = submitit.LocalExecutor if cluster == "local" else submitit.SlurmExecutor
    executor = kind(folder=folder / JOBS)
    executor.update_parameters(**values)
    return executor


def minutes_of(resources: Resources, groups: Sequence[Sequence[Run]], limit_min: int | None) -> int:
    """Return the limit of a job: what was asked for, else what the cells of the longest group may take in all."""
    if resources.time_min:
        return resources.time_min
    longest = max(sum(run.budget.minutes_per_cell for run in group) for group in groups)
    needed = math.ceil(longest) + SPARE_MIN
    return needed if limit_min is None else min(needed, limit_min)


def parameters(
    resources: Resources,
    groups: Sequence[Sequence[Run]],
    name: str,
    partition: Partition,
    *,
    after: Sequence[str] = (),
) -> dict[str, Any]:
    """Return submitit's parameters for an array of groups whose cells all want as many GPUs.

    More GPUs than any node has are not asked for, since Slurm would refuse that: the node records that it has too few.

    Args:
        resources: that are asked for.
        groups: of cells, each for a job.
        name: of the array.
        partition: where they go.
        after: ids of this experiment's arrays that are not over. Slurm counts the jobs that may run at once array by
            array, so where they are limited the array waits for these.
    """
    num_gpus = min(groups[0][0].cell.gpus, partition.most_gpus)
    cores = resources.cpus_per_task
    if cores is None and num_gpus:  # its share of the node
        cores = max(1, partition.fewest_cores * num_gpus // partition.most_gpus)
    exclusive = not num_gpus if resources.exclusive is None else resources.exclusive
    more: dict[str, Any] = {"requeue": True}
    if resources.reservation:
        more["reservation"] = resources.reservation
    said = {
        "job_name": name,
        "partition": partition.name,
        "time": minutes_of(resources, groups, partition.limit_min),
        "account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "nodelist": resources.nodelist,
        "exclude": resources.exclude,
        "exclusive": exclusive or None,
        "mem": resources.mem,
        "cpus_per_task": cores,
        "gpus_per_node": num_gpus or None,
        "array_parallelism": resources.array_parallelism or len(groups),
        "dependency": f"afterany:{':'.join(after)}" if after and resources.array_parallelism else None,
    }
    return {key: value for key, value in said.items() if value is not None} | {
        "nodes": 1,
        "ntasks_per_node": 1,
        "stderr_to_stdout": True,
        "use_srun": False,  # one process on one node; a step more would only be something else that can fail
        "setup": [*map(_or_end, resources.setup), f"export PYTHONSAFEPATH=1 PYTHONPATH={shlex.quote(for_nodes())}"],
        "additional_parameters": more,
    }


def _or_end(line: str) -> str:
    """Return a line of the shell that ends the job where it fails: cells would run without what it brings."""
    said = shlex.quote(f"--slurm setup failed: {line}")
    return f"{{ {line}\n}} || {{ echo {said}; exit 1; }}"


def script_of(executor: Any, num_jobs: int) -> str:
    """Return the script that an executor of Slurm would hand to sbatch for so many jobs."""
    if num_jobs > 1:
        executor.parameters["map_count"] = num_jobs
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
    return text
