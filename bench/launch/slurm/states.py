"""What became of jobs: asked of squeue, and of scontrol for one that ended; many clusters have no accounting."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ampbench.bench.launch.slurm.partitions import ask, fields_of
from ampbench.bench.plan.errors import RequestError

ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
)
"""Slurm's words for a job that does not run again by itself."""

GONE = "GONE"
"""Our word for a job that Slurm does not know any more: it forgets an ended one after MinJobAge, mostly 5 minutes."""

USUAL = ("None", "Resources", "Priority", "JobArrayTaskLimit", "Cleaning", "BeginTime", "")
"""Reasons to wait that need nobody's help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Of one job."""

    word: str
    """Slurm's, as in `PENDING`; or `GONE`."""
    node: str = ""
    reason: str = ""
    """Why it waits, or how it ended."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and does not run again by itself."""
        return self.word in (*ENDED, GONE)

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a node."""
        return not self.is_over and self.word not in ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING")

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for something that a person may have to mend."""
        return self.is_queued and self.reason not in USUAL

    def __str__(self) -> str:
        return f"{self.word} ({self.reason})" if self.reason not in ("", "None") else self.word


def states_of(job_ids: Iterable[str]) -> dict[str, State]:
    """Return the state of each job, with one question to Slurm.

    Raises:
        RequestError: Slurm does not answer; nothing is known then.
    """
    text = ask("squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%N|%r")
    rows = fields_of(text, 4)
    found = {job_id: State(word=word, node=node, reason=reason) for job_id, word, node, reason in rows}
    return {job_id: found.get(job_id, State(word=GONE)) for job_id in job_ids}


def array_named(name: str) -> str | None:
    """Return the id of an array by the name that no other has; None if Slurm knows none.

    Raises:
        RequestError: Slurm does not answer.
    """
    text = ask("squeue", "--noheader", "--states=all", f"--name={name}", f"--user={os.getuid()}", "--format=%F|%j")
    return next((array_id for array_id, shown in fields_of(text, 2) if shown == name), None)


def how_it_ended(job_id: str, state: State) -> str:
    """Say in words how a job ended, with its exit code where Slurm still knows it."""
    node = f" on node {state.node}" if state.node else ""
    if state.word == GONE:
        return f"Slurm no longer knows job {job_id}{node}"
    try:
        shown = ask("scontrol", "show", "job", "-o", job_id)
    except RequestError:
        shown = ""
    match = re.search(r"\bExitCode=(\d+):(\d+)", shown)
    code, number = (int(match[1]), int(match[2])) if match else (0, 0)
    how = f", signal {number}" if number else f", exit {code}" if code else ""
    return f"Slurm says {state.word} of job {job_id}{node}{how}"
