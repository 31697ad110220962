"""Who starts jobs, and knows what became of them: Slurm; or this machine, to try a matrix without a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import psutil

from ampbench.bench.launch.local.fork_server import environment
from ampbench.bench.launch.slurm import sbatch
from ampbench.bench.launch.slurm.ledger import Array
from ampbench.bench.launch.slurm.partitions import ask, largest_array
from ampbench.bench.launch.slurm.script import executor_of
from ampbench.bench.launch.slurm.states import State, array_named, states_of
from ampbench.path import for_children


class Scheduler(Protocol):
    """Of one kind of cluster."""

    def largest_array(self) -> int:
        """Return how many jobs may be submitted together.

        Raises:
            RequestError: nothing is known now.
        """

    def submit(self, array: Array, tasks: Sequence[Callable[[], None]], values: Mapping[str, Any]) -> Array:
        """Submit the jobs of an array; return it with its id.

        Args:
            array: as written down.
            tasks: what each job calls.
            values: of submitit's parameters.

        Raises:
            RequestError: they are refused.
        """

    def find(self, array: Array) -> str | None:
        """Return the id of an array that was written down and perhaps submitted; None if it was not."""

    def states(self, arrays: Iterable[Array]) -> dict[str, State]:
        """Return job id -> state of all their jobs.

        Raises:
            RequestError: nothing is known now.
        """

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs that have not begun."""

    def how_to_end(self, job_ids: Sequence[str]) -> str:
        """Say what becomes of jobs whose launcher ends, and what to type to end them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slurmctld:
    """Slurm."""

    folder: Path
    """Of the ledger."""

    def largest_array(self) -> int:
        """Ask scontrol."""
        return largest_array()

    def submit(self, array: Array, tasks: Sequence[Callable[[], None]], values: Mapping[str, Any]) -> Array:
        """Submit an array by sbatch."""
        return sbatch.submit(self.folder, array, tasks, values)

    def find(self, array: Array) -> str | None:
        """Ask squeue for its name."""
        array_id = array_named(array.name)
        if array_id is None:
            sbatch.forget(self.folder, array)
        else:
            sbatch.named(self.folder, replace(array, array_id=array_id))
        return array_id

    def states(self, arrays: Iterable[Array]) -> dict[str, State]:
        """Ask squeue."""
        return states_of(array.job_id(job) for array in arrays for job in array.jobs)

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Ask scancel."""
        if job_ids:
            ask("scancel", "--state=PENDING", *job_ids)

    def how_to_end(self, job_ids: Sequence[str]) -> str:
        """Say that they stay."""
        arrays = dict.fromkeys(job_id.partition("_")[0] for job_id in job_ids)
        num, them = len(job_ids), "it" if len(job_ids) == 1 else "them"
        return (
            f"{num} {'job stays' if num == 1 else 'jobs stay'} with Slurm, and the same command waits for {them}. "
            f"To end {them}: scancel {' '.join(arrays)}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalProcesses:
    """This machine, by submitit's local executor: a job is a process, which outlives a launcher that is killed."""

    folder: Path
    """Of the ledger."""

    def largest_array(self) -> int:
        """Start each job by itself."""
        return 1

    def submit(self, array: Array, tasks: Sequence[Callable[[], None]], values: Mapping[str, Any]) -> Array:
        """Start the one job of an array."""
        executor = executor_of("local", self.folder, {"timeout_min": values["time"], "stderr_to_stdout": True})
        (task,) = tasks
        with environment(PYTHONPATH=for_children(), PYTHONSAFEPATH="1"):
            job = executor.submit(task)
        return replace(array, array_id=job.job_id, started_s=psutil.Process(int(job.job_id)).create_time())

    def find(self, array: Array) -> str | None:  # noqa: ARG002  # a Scheduler is told it
        """Know of none: a process whose launcher was killed before it wrote down its task ends by itself."""
        return None

    def states(self, arrays: Iterable[Array]) -> dict[str, State]:
        """Look at the processes."""
        return {str(array.array_id): _state(array) for array in arrays}

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End processes."""
        for job_id in job_ids:
            with suppress(ProcessLookupError):
                os.kill(int(job_id), signal.SIGTERM)

    def how_to_end(self, job_ids: Sequence[str]) -> str:
        """End them: nobody would look after them on a person's own machine."""
        self.cancel(job_ids)
        jobs = "1 job of this machine was" if len(job_ids) == 1 else f"{len(job_ids)} jobs of this machine were"
        return f"{jobs} ended; the same command goes on"


def _state(array: Array) -> State:
    with suppress(psutil.Error, ValueError):
        process = psutil.Process(int(array.array_id or 0))
        if process.create_time() == array.started_s and process.status() != psutil.STATUS_ZOMBIE:
            return State(word="RUNNING")
    return State(word="FAILED")
