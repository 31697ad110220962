"""What a cluster has, as sinfo says: its partitions, their limits of time, and the GPUs and cores of their nodes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ampbench.bench.launch.slurm.resources import minutes
from ampbench.bench.plan.errors import RequestError, did_you_mean

ANSWER_S = 60.0
"""How long one of Slurm's commands may take; its controller is slow when many ask."""

GPUS = re.compile(r"\bgpu(?::[\w.-]+)?:(\d+)")
"""In sinfo's list of generic resources, as in `gpu:a100:4(S:0-1)`."""


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


def ask(*words: str) -> str:
    """Run one of Slurm's commands and return what it prints.

    Raises:
        RequestError: it is not installed, does not answer, or says no.
    """
    require(words[0])
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=ANSWER_S)
    except subprocess.TimeoutExpired:
        raise RequestError(f"{words[0]}: Slurm did not answer in {ANSWER_S:g} s; try again, or see sdiag") from None
    if done.returncode:
        raise RequestError(f"{words[0]}: {last_words(done.stderr) or f'exit {done.returncode}'}")
    return done.stdout


def last_words(text: str) -> str:
    """Return what a command of Slurm's complains of, without its own name."""
    lines = [re.sub(r"^\w+: (error: )?", "", line.strip()) for line in text.splitlines() if line.strip()]
    return "; ".join(dict.fromkeys(lines))


def find_partition(name: str | None) -> Partition:
    """Return a partition by name, or the one that jobs go to by default.

    Raises:
        RequestError: there is no such partition, or Slurm does not answer.
    """
    rows = [line.split("|") for line in ask("sinfo", "--noheader", "--format=%P|%G|%c|%l").splitlines() if line]
    names = list(dict.fromkeys(row[0].rstrip("*") for row in rows))
    if name is None:
        default = next((row[0] for row in rows if row[0].endswith("*")), None)
        if default is None:
            raise RequestError(
                f"this cluster has no default partition; name one of {', '.join(names)}, as in --slurm partition=NAME"
            )
        name = default.rstrip("*")
    if name not in names:
        raise RequestError(f"--slurm partition={name}: no such partition here. {did_you_mean(name, names)}")
    return partition_of(name, [row for row in rows if row[0].rstrip("*") == name])


def partition_of(name: str, rows: Sequence[Sequence[str]]) -> Partition:
    """Put together what sinfo's rows of one partition say: name, generic resources, cores, limit of time."""
    gpus = [sum(map(int, GPUS.findall(row[1]))) for row in rows]
    cores = [int(row[2].rstrip("+")) for row, count in zip(rows, gpus, strict=True) if count == max(gpus)]
    try:
        limit = minutes(rows[0][3])
    except ValueError:  # infinite
        limit = None
    return Partition(name=name, most_gpus=max(gpus), fewest_cores=min(cores), limit_min=limit)
