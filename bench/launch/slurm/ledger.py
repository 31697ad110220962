"""Which jobs of an experiment were submitted: kept in its results folder, so that the same command finds them again.

An array is written down before it is submitted, under a name that no other has: if the launcher is killed in between,
its jobs are found in the queue by that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ampbench.bench.machine.file_lock import hold_file
from ampbench.bench.store.atomic import write_json

FOLDER = "slurm"
"""In an experiment's results: the ledger, what jobs reported, and submitit's files of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One job: a group of cells."""

    group_id: str
    task: int
    """Its place in its array, from 0."""
    boards: tuple[str, ...] = ()
    """Ids of those that it has on this machine, with `cluster=local`; Slurm chooses by itself."""
    is_over: bool = False
    """Whether nothing is expected of it any more."""

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Job:
        """Read what `asdict` wrote."""
        return cls(**{**plain, "boards": tuple(plain["boards"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class Array:
    """Jobs that were submitted together."""

    name: str
    """As squeue shows it; of one array alone."""
    cluster: str
    array_id: str | None = None
    """Slurm's id; None until it is known whether it was submitted. With `cluster=local` the pid of the one job."""
    started_s: float | None = None
    """With `cluster=local`: when that process was started, since pids are used again."""
    jobs: tuple[Job, ...] = ()

    def job_id(self, job: Job) -> str:
        """Return the id of one of its jobs, as squeue shows it."""
        return f"{self.array_id}_{job.task}" if len(self.jobs) > 1 else str(self.array_id)


@dataclass
class Ledger:
    """The file of jobs. Several launchers may have it open: it changes only inside `changing`."""

    folder: Path
    """`slurm` in the results of an experiment."""
    arrays: list[Array] = field(default_factory=list)
    """As last read; those of which nothing is expected any more are left out."""

    @classmethod
    def of(cls, results: Path) -> Ledger:
        """Return that of the results of an experiment."""
        ledger = cls(folder=results / FOLDER)
        ledger.read()
        return ledger

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / "jobs.json"

    @property
    def live(self) -> list[tuple[Array, Job]]:
        """The jobs that something is expected of."""
        return [(array, job) for array in self.arrays for job in array.jobs if not job.is_over]

    def read(self) -> None:
        """Read what was written last; a file that cannot be read counts as none, since records say what is done."""
        try:
            plain = json.loads(self.path.read_text())
            self.arrays = [
                Array(**{**array, "jobs": tuple(Job.from_json(job) for job in array["jobs"])})
                for array in plain["arrays"]
            ]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            self.arrays = []

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Context that reads the file and keeps others from it; what is changed inside is written by `write`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with hold_file(self.folder / ".lock"):
            self.read()
            yield

    def write(self) -> None:
        """Write what is known now."""
        self.arrays = [array for array in self.arrays if not all(job.is_over for job in array.jobs)]
        write_json(self.path, {"arrays": [asdict(array) for array in self.arrays]})

    def add(self, array: Array) -> None:
        """Write down an array."""
        self.arrays.append(array)
        self.write()

    def change(self, name: str, **values: Any) -> None:
        """Change what is known of an array, and write it down."""
        self.arrays = [replace(array, **values) if array.name == name else array for array in self.arrays]
        self.write()

    def drop(self, name: str) -> None:
        """Forget an array that never was submitted, or whose jobs nobody knows any more."""
        self.arrays = [array for array in self.arrays if array.name != name]
        self.write()

    def end(self, name: str, task: int) -> None:
        """Note that nothing is expected of a job any more, and write it down."""
        for array in self.arrays:
            if array.name == name:
                jobs = tuple(replace(job, is_over=True) if job.task == task else job for job in array.jobs)
                self.change(name, jobs=jobs)
