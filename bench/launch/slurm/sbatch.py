"""An array of jobs on its way to sbatch: the script and the tasks are submitit's, the call is ours.

submitit waits for ever on an sbatch that hangs, takes the first "job 77" of whatever a cluster prints for the job's id,
and leaves a task unnamed if its launcher is killed before it has read that id. Here each task waits under the array's
name, which is known before, and squeue is asked for that name if sbatch does not say the id.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ampbench.bench.launch.slurm.ledger import Array
from ampbench.bench.launch.slurm.partitions import SilentError, ask
from ampbench.bench.launch.slurm.script import JOBS, executor_of, script_of
from ampbench.bench.launch.slurm.states import array_named
from ampbench.bench.plan.errors import RequestError

SAID = re.compile(r"([0-9]+)(;[^;\s]+)?")
"""The line that `sbatch --parsable` prints: an id, and the cluster where there are several."""

SET_IN_SCRIPT = (
    *("ARRAY_INX", "CPUS_PER_TASK", "GPUS_PER_NODE", "JOB_NAME", "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "PARTITION"),
    *("REQUEUE", "SIGNAL", "TIMELIMIT", "WCKEY"),
)
"""Variables `SBATCH_…` that every script has a line for: sbatch would prefer the variable."""

SETTABLE = {
    "account": "ACCOUNT",
    "qos": "QOS",
    "constraint": "CONSTRAINT",
    "exclusive": "EXCLUSIVE",
    "mem": "MEM_PER_NODE",
    "reservation": "RESERVATION",
}
"""Parameter of submitit -> likewise, where a script need not have such a line."""

OF_ANOTHER_JOB = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT")
"""Variables that a job which submits another one hands on to it; a job would take itself for that one."""


def environment_of_sbatch(environ: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, str]:
    """Return an environment in which sbatch does what the script says, and its jobs know who they are.

    Args:
        environ: of this process.
        values: of submitit's parameters.
    """
    said = {**values, **values.get("additional_parameters", {})}
    lines = (*SET_IN_SCRIPT, *(variable for name, variable in SETTABLE.items() if name in said))
    unheeded = {*OF_ANOTHER_JOB, *(f"SBATCH_{line}" for line in lines)}
    return {name: value for name, value in environ.items() if name not in unheeded}


def submit(folder: Path, array: Array, tasks: Sequence[Callable[[], None]], values: Mapping[str, Any]) -> Array:
    """Submit the jobs of an array; return it with its id.

    Args:
        folder: of the ledger.
        array: as written down there.
        tasks: what each job calls.
        values: of submitit's parameters.

    Raises:
        RequestError: sbatch refuses them; nothing of them is left.
    """
    executor = executor_of("slurm", folder, values)
    text = script_of(executor, len(tasks))
    try:
        (folder / JOBS).mkdir(parents=True, exist_ok=True)
        for path, task in zip(_unnamed(folder, array), tasks, strict=True):
            _write_task(path, task, executor)
        _script(folder, array).write_text(text)
        array_id = _id_of(array, _script(folder, array), environment_of_sbatch(os.environ, values))
    except (RequestError, OSError):
        forget(folder, array)
        raise
    return named(folder, replace(array, array_id=array_id))


def named(folder: Path, array: Array) -> Array:
    """Put the tasks of an array whose id is known where its jobs look for them; return it."""
    with suppress(FileNotFoundError):
        _script(folder, array).replace(folder / JOBS / f"{array.array_id}_submission.sh")
    for job, path in zip(array.jobs, _unnamed(folder, array), strict=True):
        with suppress(FileNotFoundError):
            path.replace(folder / JOBS / f"{array.job_id(job)}_submitted.pkl")
    return array


def forget(folder: Path, array: Array) -> None:
    """Delete what was written of an array that was not submitted."""
    for path in (_script(folder, array), *_unnamed(folder, array)):
        path.unlink(missing_ok=True)


def _id_of(array: Array, script: Path, environ: Mapping[str, str]) -> str:
    """Hand a script to sbatch; return the id of its array."""
    complaint = "sbatch did not say the id of the jobs, and squeue knows none of their name; see squeue"
    try:
        lines = ask("sbatch", "--parsable", str(script), environ=environ).splitlines()
        ids = [match[1] for line in lines if (match := SAID.fullmatch(line.strip()))]
        if ids:
            return ids[-1]
    except SilentError as e:
        complaint = str(e)
    except RequestError as e:
        fewer = ", or submit fewer at once: --shard 0/2" if len(array.jobs) > 1 and "limit" in str(e) else ""
        said = str(e).removeprefix("sbatch: ")
        raise RequestError(f"sbatch refuses the jobs: {said}; change --slurm key=value{fewer}") from None
    with suppress(RequestError):  # it may have submitted them nevertheless
        if found := array_named(array.name):
            return found
    raise RequestError(complaint)


def _write_task(path: Path, task: Callable[[], None], executor: Any) -> None:
    from submitit.core.utils import DelayedSubmission

    delayed = DelayedSubmission(task)
    delayed.set_timeout(executor.parameters["time"], executor.max_num_timeout)
    delayed.dump(path)


def _script(folder: Path, array: Array) -> Path:
    return folder / JOBS / f"{array.name}.sh"


def _unnamed(folder: Path, array: Array) -> list[Path]:
    return [folder / JOBS / f"{array.name}_{job.task}.task" for job in array.jobs]
