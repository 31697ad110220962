"""What a cluster has, as sinfo says: its partitions, their limits of time, and the GPUs and cores of their nodes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ampbench.bench.launch.slurm.resources import Resources, minutes
from ampbench.bench.plan.errors import RequestError, did_you_mean

ANSWER_S = 60.0
"""How long one of Slurm's commands may take; its controller is slow when many ask."""

MAX_ARRAY_SIZE = 1001
"""Slurm's default for jobs of an array."""

GPUS = re.compile(r"\bgpu(?::[\w.-]+)?:(\d+)")
"""In sinfo's list of generic resources, as in `gpu:a100:4(S:0-1)`."""


class SilentError(RequestError):
    """Slurm did not answer in time: it may have done what it was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """Nodes that share a queue."""

    name: str
    most_gpus: int
    """Of one node."""
    fewest_cores: int
    """Of one node with that many GPUs."""
    limit_min: int | None
    """Longest job; None if there is no limit."""
    most_cores: int | None = None
    """Of one node; None where sinfo does not say it."""
    num_nodes: int = 1
    """That are up, as far as sinfo says it."""

    def refuse(self, resources: Resources) -> None:
        """Refuse what no node here gives: Slurm would let such a job wait for ever.

        Raises:
            RequestError: with what there is.
        """
        time_min, cores = resources.time_min, resources.cpus_per_task
        if time_min and self.limit_min and time_min > self.limit_min and resources.qos is None:  # some raise the limit
            raise RequestError(
                f"--slurm time=…: {time_min} minutes, and partition {self.name} gives a job {self.limit_min} at most; "
                "give less, or another partition"
            )
        if cores and self.most_cores and cores > self.most_cores:
            raise RequestError(
                f"--slurm cpus_per_task={cores}: a node of partition {self.name} has {self.most_cores} at most; give "
                "fewer, or another partition"
            )


def require(command: str) -> None:
    """Refuse to go on without one of Slurm's commands.

    Raises:
        RequestError: it is not on PATH.
    """
    if shutil.which(command) is None:
        raise RequestError(
            f"--launcher slurm: no {command} here; type this on a machine that submits to Slurm, or try it without a "
            "cluster: --slurm cluster=local"
        )


def ask(*words: str, environ: Mapping[str, str] | None = None) -> str:
    """Run one of Slurm's commands and return what it prints.

    Args:
        words: of the command.
        environ: its environment, if not that of this process.

    Raises:
        RequestError: it is not installed, does not answer, or says no.
    """
    require(words[0])
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=ANSWER_S, env=environ)
    except subprocess.TimeoutExpired:
        raise SilentError(f"{words[0]}: Slurm did not answer in {ANSWER_S:g} s; try again, or see sdiag") from None
    if done.returncode:
        raise RequestError(f"{words[0]}: {last_words(done.stderr) or f'exit {done.returncode}'}")
    return done.stdout


def fields_of(text: str, count: int) -> list[list[str]]:
    """Return the lines that have so many fields between bars; a cluster's own wrapper may print others."""
    rows = [line.strip().split("|", count - 1) for line in text.splitlines()]
    return [row for row in rows if len(row) == count]


def largest_array() -> int:
    """Return how many jobs an array may have on this cluster; Slurm's default if it does not say.

    Raises:
        RequestError: Slurm does not answer.
    """
    found = re.search(r"^MaxArraySize\s*=\s*([0-9]+)", ask("scontrol", "show", "config"), re.MULTILINE)
    return max(1, int(found[1])) if found else MAX_ARRAY_SIZE


def last_words(text: str) -> str:
    """Return what a command of Slurm's complains of, without its own name."""
    lines = [re.sub(r"^\w+: ((error|fatal): )?", "", line.strip()) for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))


def partition_for(resources: Resources) -> Partition:
    """Return the partition that jobs go to.

    Raises:
        RequestError: there is no such partition, it does not give what is asked for, or Slurm does not answer.
    """
    by_user = os.environ.get("SBATCH_PARTITION")
    if resources.partition is None and by_user:  # as sbatch itself would take it
        partition = find_partition(by_user, said=f"SBATCH_PARTITION={by_user}")
    else:
        partition = find_partition(resources.partition)
    partition.refuse(resources)
    return partition


def find_partition(name: str | None, *, said: str = "") -> Partition:
    """Return a partition by name, or the one that jobs go to by default.

    Args:
        name: as it was said; several, with commas between, are taken as one.
        said: where, if not by `--slurm`.

    Raises:
        RequestError: there is no such partition, or Slurm does not answer.
    """
    rows = fields_of(ask("sinfo", "--noheader", "--format=%P|%G|%c|%l|%A"), 5)
    names = list(dict.fromkeys(row[0].rstrip("*") for row in rows))
    if name is None:
        default = next((row[0] for row in rows if row[0].endswith("*")), None)
        if default is None:
            raise RequestError(
                f"this cluster has no default partition; name one of {', '.join(names)}, as in --slurm partition=NAME"
            )
        name = default.rstrip("*")
    parts = name.split(",")  # a job goes to whichever of them is free first
    for part in parts:
        if part not in names:
            said = said or f"--slurm partition={name}"
            raise RequestError(f"{said}: no such partition here. {did_you_mean(part, names)}")
    return partition_of(name, [row for row in rows if row[0].rstrip("*") in parts])


def partition_of(name: str, rows: Sequence[Sequence[str]]) -> Partition:
    """Put together what sinfo's rows of one partition say: name, generic resources, cores, limit of time, nodes."""
    gpus = [sum(map(int, GPUS.findall(row[1]))) for row in rows]
    is_known = not any(row[2].endswith("+") for row in rows)
    cores = [int(row[2].rstrip("+")) for row, count in zip(rows, gpus, strict=True) if count == max(gpus)]
    try:
        limit = max(minutes(row[3]) for row in rows)
    except ValueError:  # infinite
        limit = None
    return Partition(
        name=name,
        most_gpus=max(gpus),
        fewest_cores=min(cores),
        limit_min=limit,
        most_cores=max(int(row[2]) for row in rows) if is_known else None,
        num_nodes=max(1, sum(int(part) for row in rows for part in re.findall("[0-9]+", row[4]))),  # allocated/idle
    )
