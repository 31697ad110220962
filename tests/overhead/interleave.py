"""Ratios that survive a shared machine: A B A B ..., with an A/A control beside them.

Absolute times mean nothing where others compute too; the ratio of neighbours in time does. The control is A
against itself in the same rounds: what it shows besides 1.00 is the noise that the ratio has as well.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ampbench.bench.measure.stopping import T_95


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """A geometric mean over rounds with its 95 % t-interval."""

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Ratio:
        """Average ratios on the log scale."""
        logs = [math.log(ratio) for ratio in ratios]
        n = len(logs)
        mean = statistics.fmean(logs)
        half = T_95[min(n - 2, len(T_95) - 1)] * statistics.stdev(logs) / math.sqrt(n)
        return cls(mean=math.exp(mean), low=math.exp(mean - half), high=math.exp(mean + half), n=n)

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def compare(
    ours: Callable[[], Any],
    other: Callable[[], Any],
    *,
    rounds: int,
    clock: Callable[[Callable[[], Any]], float] = seconds,
) -> tuple[Ratio, Ratio]:
    """Return how many times as fast `ours` is as `other`, and the control `other` against itself.

    A round is other, ours, other; `ours` is held against the mean of its neighbours. One round warms up. `clock` calls
    the work and returns the seconds that count.
    """
    ratios, controls = [], []
    for number in range(rounds + 1):
        before, mine, after = clock(other), clock(ours), clock(other)
        if number:
            ratios.append((before + after) / 2 / mine)
            controls.append(before / after)
    return Ratio.of(ratios), Ratio.of(controls)
