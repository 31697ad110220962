"""The memory that trials of a batch size may take: what was asked for, or what the board has free; less a margin."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.bench.machine.board import Board
from ampbench.bench.machine.free_memory import free_bytes
from ampbench.bench.plan.words import gib

MARGIN = 0.05
"""Kept free of the limit: a long training fragments its memory, and its evaluations take other batches."""

CPU_SHARE = 0.8
"""Of the RAM that is free: other processes live on it, and the kernel kills when it ends."""

GPU_SHARE = 0.98
"""Of the free memory of a GPU, nearly all is a training's; CUDA's own context is in it, which takes about 0.5 GiB."""
CONTEXT_BYTES = 2**29


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryLimit:
    """A limit, and where it comes from."""

    limit_bytes: int
    because: str
    """As in `2.0 GiB were asked for`."""

    @classmethod
    def of_trials(cls, trial_gib: float) -> MemoryLimit:
        """Return the limit under which earlier trials ran."""
        limit_bytes = round(trial_gib * 2**30 / (1 - MARGIN))
        return cls(limit_bytes=limit_bytes, because=f"{gib(limit_bytes)} was the limit")

    @property
    def trial_bytes(self) -> int:
        """What a trial may take, so that what it shows to fit does so with the margin."""
        return int((1 - MARGIN) * self.limit_bytes)

    @property
    def trial_gib(self) -> float:
        """The same as an experiment file says it."""
        return round(self.trial_bytes / 2**30, 4)


def memory_limit(board: Board, asked_bytes: int | None) -> MemoryLimit | None:
    """Return the limit for a process on a board; None where nothing was asked for and nobody knows what is free.

    Args:
        board: where the trials run.
        asked_bytes: at most so much; on a CPU never more than may be taken without harm to the machine.
    """
    free = free_bytes(board)
    most = None if free is None else int(GPU_SHARE * free) - CONTEXT_BYTES if board.is_gpu else int(CPU_SHARE * free)
    if asked_bytes is not None and (most is None or asked_bytes <= most):
        return MemoryLimit(limit_bytes=asked_bytes, because=f"{gib(asked_bytes)} was the limit")
    if most is None or free is None:
        return None
    asked = "" if asked_bytes is None else f", less than the {gib(asked_bytes)} that were asked for"
    return MemoryLimit(limit_bytes=most, because=f"{gib(free)} were free on {board}{asked}")
