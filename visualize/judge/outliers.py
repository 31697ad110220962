"""Processes whose speed lies far from that of their siblings: named, never dropped."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlier:
    """One process that was far slower or faster than the other processes of its cell."""

    cell_id: str
    recipe: str
    batch_size: int
    seed: int
    round: int
    times: float
    """Its speed over the median speed of the processes that differ from it only in seed and round."""

    def __str__(self) -> str:
        which = f"round {self.round}" if self.round else f"seed {self.seed}"
        return f"{self.recipe} at batch {self.batch_size}, {which}, ran {self.times:.2g} times as fast as its siblings"
