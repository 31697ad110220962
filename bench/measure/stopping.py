"""When a speed is steady, and when it has been measured for long enough. Arithmetic only: no clock, no torch.

The interval here is over the block means of one process. It decides when to stop and nothing else: blocks of
one process are correlated, and no comparison rests on them (Georges et al., 2007, "Statistically rigorous Java
performance evaluation", section 3.2: replicate the process).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

STEADY_WINDOW = 4
"""Blocks over which the speed must be steady."""

STEADY_DRIFT = 0.02
"""A drift over the window up to this share of the mean counts as steady."""

FIRST_CHECK = 8
"""Samples at the first check of the interval; each later check comes at twice as many, so that checks are few."""

OUTLIER = 3.5
"""Modified z-score: 0.6745 distances from the median, in median absolute deviations."""

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom; the normal one beyond.
# A table, because scipy would cost every worker half a second to import.
T_95 = [
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
]


def ci_share(samples: Sequence[float]) -> float | None:
    """Return the half-width of the 95 % t-interval of the mean, as a share of the mean; None for fewer than 2."""
    n = len(samples)
    if n < 2:
        return None
    t = T_95[n - 2] if n - 1 <= len(T_95) else 1.960
    return t * statistics.stdev(samples) / math.sqrt(n) / statistics.fmean(samples)


def num_outliers(samples: Sequence[float]) -> int:
    """Return how many samples have a modified z-score beyond 3.5 (Iglewicz & Hoaglin, 1993, section 3.3).

    They are counted, never dropped. Without a spread, as where more than half are equal, none is counted.
    """
    median = statistics.median(samples)
    mad = statistics.median(abs(x - median) for x in samples)
    return sum(0.6745 * abs(x - median) > OUTLIER * mad for x in samples) if mad else 0


def is_flat(samples: Sequence[float]) -> bool:
    """Whether the last `STEADY_WINDOW` samples show no drift.

    There is no drift if the least-squares slope changes the mean by at most `STEADY_DRIFT` over the window, or, on a
    noisy machine, if it is within two of its standard errors while the samples spread less than 50 %.
    """
    window = samples[-STEADY_WINDOW:]
    n = len(window)
    if n < STEADY_WINDOW:
        return False
    mean, middle = statistics.fmean(window), (n - 1) / 2
    sxx = sum((i - middle) ** 2 for i in range(n))
    slope = sum((i - middle) * (y - mean) for i, y in enumerate(window)) / sxx
    if abs(slope) * (n - 1) <= STEADY_DRIFT * mean:
        return True
    residual = sum((y - mean - slope * (i - middle)) ** 2 for i, y in enumerate(window))
    standard_error = math.sqrt(residual / (n - 2) / sxx)
    return abs(slope) <= 2 * standard_error and max(window) <= 1.5 * min(window)


def why_stop(samples: Sequence[float], *, target_ci: float, timed_s: float, max_timing_s: float) -> str | None:
    """Return why timing may stop now, or None to go on.

    `precise`: the interval is within the target. `noisy_stable`: it is not, but the spread has stopped changing
    (within 10 % since half as many samples, at least 32 of them), so more samples help only by their square root.
    `capped`: the time limit is reached. The first two are checked with `FIRST_CHECK` samples, then at doubling sizes.
    """
    n = len(samples)
    doublings = math.log2(n / FIRST_CHECK) if n >= FIRST_CHECK else -1
    if doublings == int(doublings) and doublings >= 0:
        share = ci_share(samples)
        if share is not None and share <= target_ci:
            return "precise"
        if n >= 4 * FIRST_CHECK:
            before, now = statistics.stdev(samples[: n // 2]), statistics.stdev(samples)
            if abs(now - before) <= 0.1 * now:
                return "noisy_stable"
    return "capped" if timed_s >= max_timing_s else None
