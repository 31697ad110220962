"""What a job asks Slurm for: `--slurm key=value`, in sbatch's own words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ampbench.bench.plan.errors import RequestError, did_you_mean

CLUSTERS = ("slurm", "local")

TIME = re.compile(r"(?:(?P<days>[0-9]{1,4})-)?(?P<clock>[0-9]{1,9}(?::[0-9]{1,9}){0,2})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """Of each job, which runs one group of cells; None leaves it to the cluster."""

    cluster: str = "slurm"
    """`slurm`; or `local`, which starts the jobs on this machine, to try a matrix without a cluster."""
    partition: str | None = None
    time_min: int | None = None
    """Limit of a job; None means what its cells may take by `minutes_per_cell`."""
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    """Features of the nodes, as in `a100`."""
    reservation: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    exclusive: bool | None = None
    """Whether a job has its node for itself; None means yes on nodes without GPUs, where neighbours share the CPU."""
    mem: str | None = None
    """Memory of a job, as in `16G`."""
    cpus_per_task: int | None = None
    array_parallelism: int | None = None
    """Jobs that may run at once; None means as many as the cluster starts, or one a board with `cluster=local`."""
    setup: tuple[str, ...] = ()
    """Shell lines that a job runs first, as in `module load cuda`."""

    def of_whole_nodes(self, is_exclusive: bool) -> Resources:
        """Return them with a node for each job, if one cell at a time is to run there."""
        return replace(self, exclusive=True) if is_exclusive else self


def parse_resources(words: Sequence[str]) -> Resources:
    """Read the values of `--slurm`, each `key=value`.

    Raises:
        RequestError: no such key, a key twice, or a value that the key does not take.
    """
    said: dict[str, Any] = {}
    for word in words:
        typed, is_assigned, text = word.partition("=")
        key = typed.strip().replace("-", "_")
        if not is_assigned or not text.strip():
            raise RequestError(f"--slurm {word}: write key=value, as in partition=gpu. Keys: {', '.join(KEYS)}")
        if key in DECIDED:
            raise RequestError(f"--slurm {word}: {DECIDED[key]}; drop it")
        if key not in KEYS:
            raise RequestError(f"--slurm {word}: no such key. {did_you_mean(key, KEYS)}")
        try:
            value = KEYS[key](text.strip())
        except ValueError as e:
            raise RequestError(f"--slurm {word}: {e}") from None
        name = FIELDS.get(key, key)
        if name == "setup":
            value = (*said.get(name, ()), value)
        elif name in said:
            raise RequestError(f"--slurm {word}: {key} is given twice; drop one")
        said[name] = value
    if said.get("cluster") == "local" and (unheeded := next((name for name in said if name not in OF_LOCAL), None)):
        raise RequestError(
            f"--slurm {unheeded}=…: cluster=local starts jobs on this machine, without a script; drop it"
        )
    return Resources(**said)


def minutes(text: str) -> int:
    """Read a time as sbatch does: 90 (minutes), 30:00, 1:30:00, 2-0 (days-hours), 2-0:30, 2-0:30:00; rounded up.

    Raises:
        ValueError: it is none, or no time at all.
    """
    match = TIME.fullmatch(text)
    if match is None:
        raise ValueError("write a time as 90 (minutes), 1:30:00 (hours) or 2-0 (days-hours)")
    days, clock = int(match["days"] or 0), [int(part) for part in match["clock"].split(":")]
    if match["days"]:  # days-hours[:minutes[:seconds]]
        hours, mins, secs = [*clock, 0, 0][:3]
    elif len(clock) == 3:
        hours, mins, secs = clock
    else:  # minutes[:seconds]
        hours, mins, secs = 0, *[*clock, 0][:2]
    total = math.ceil((86400 * days + 3600 * hours + 60 * mins + secs) / 60)
    if total < 1:
        raise ValueError("a job needs at least a minute; leave time out for what its cells may take")
    return total


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise ValueError("write a whole number from 1")
    return int(text)


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
        raise ValueError("write true or false")
    return text.lower() in ("true", "yes", "1")


def _memory(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}[KMGT]?B?", text, re.IGNORECASE):
        raise ValueError("write a memory as 16G or 8000M")
    return text


def _cluster(text: str) -> str:
    if text not in CLUSTERS:
        raise ValueError(f"no such cluster. {did_you_mean(text, CLUSTERS)}")
    return text


KEYS: dict[str, Callable[[str], Any]] = {
    "cluster": _cluster,
    "partition": str,
    "time": minutes,
    "account": str,
    "qos": str,
    "constraint": str,
    "reservation": str,
    "nodelist": str,
    "exclude": str,
    "exclusive": _switch,
    "mem": _memory,
    "cpus_per_task": _count,
    "array_parallelism": _count,
    "setup": str,
}
"""Key of `--slurm` -> how its value is read."""

BY_CELLS = "jobs ask for as many GPUs as their cells, by gpus = … in the file or run_one.py --gpus-per-cell"
BY_GROUPS = "a job is a group of cells on one node, and an array has all groups"
BY_LEDGER = "jobs are found again by what the launcher gives here"

DECIDED = {
    **dict.fromkeys(("gres", "gpus", "gpus_per_node", "gpus_per_task", "gpus_per_socket"), BY_CELLS),
    **dict.fromkeys(("nodes", "ntasks", "ntasks_per_node", "tasks_per_node", "array"), BY_GROUPS),
    **dict.fromkeys(("job_name", "name", "output", "error", "requeue", "no_requeue"), BY_LEDGER),
}
"""Words of sbatch's that are no keys -> who decides instead."""

OF_LOCAL = ("cluster", "time_min", "array_parallelism")
"""Fields that say something where jobs are processes of this machine."""

FIELDS = {"time": "time_min"}
"""Key of `--slurm` -> field of `Resources`, where they differ."""

assert {FIELDS.get(key, key) for key in KEYS} == {field.name for field in fields(Resources)}
