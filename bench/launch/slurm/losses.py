"""What becomes of a cell whose job ended before it did: it runs again, or gets a row, so that nothing goes on for ever.

A job may end through no fault of the cell: somebody cancelled it, its node failed, a job of higher priority took it.
Such a cell runs again. A cell that took more than a whole job's time or memory would do so again, and gets a row.
Where Slurm only says that the job failed, a second loss decides. A checkpoint that moved on starts the count anew.

It is another rule than Ray's (bench/launch/ray/losses.py): Slurm tells the cause and sets the limits of a job, and
its jobs outlive the launcher, so the cause decides first, and losses are counted on disk; nodes are Slurm's own matter.
"""

from __future__ import annotations

from ampbench.schema.statuses import Status

MOST_LOSSES = 2
"""Of a cell, where Slurm says that its job failed."""

MOST_RESTARTS = 5
"""Of a cell, whatever Slurm says: a node that fails whenever this cell runs must not take the cluster down for ever."""

MOST_ATTEMPTS = 3
"""Jobs of a group that one command submits one after the other without a cell ended or a checkpoint moved on."""

TOO_LONG = ("TIMEOUT", "DEADLINE")
TOO_LARGE = ("OUT_OF_MEMORY",)
NOBODYS_FAULT = ("CANCELLED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REVOKED", "GONE")


def row_of_lost(
    word: str, how: str, *, num_losses: int, was_first: bool, has_moved_on: bool
) -> tuple[Status, str] | None:
    """Return status and reason of the row of a cell that was at work when its job ended; None to run it again.

    Args:
        word: Slurm's for how the job ended.
        how: the same in words, with job and node.
        num_losses: of this cell, with this one.
        was_first: whether the job had run no other cell before.
        has_moved_on: whether its checkpoint was written meanwhile.
    """
    if has_moved_on:
        return None
    if word in TOO_LONG and was_first:
        return "timeout", f"{how}: it alone took the job's whole time; give more with --slurm time=…"
    if word in TOO_LARGE:
        return "crashed", f"{how} while it ran; give more with --slurm mem=…"
    if num_losses >= MOST_RESTARTS or (word not in NOBODYS_FAULT and num_losses >= MOST_LOSSES):
        status: Status = "timeout" if word in TOO_LONG else "crashed"
        return status, f"{how} while it ran, the {num_losses}. time"
    return None
