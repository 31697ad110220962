"""A mean difference and its uncertainty, for processes that form pairs and for processes that do not.

With pairs, d is one difference per pair (Student, 1908). Without pairs, the means of the two sides are compared, each
with its own spread (Welch, 1947). Every verdict on a speed uses one of the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtrinc, stdtr, stdtrit

SAME = math.log(1.01)
"""Speeds that differ by less than 1 % count as the same."""
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What a t-test needs, in the unit of the values; for a speed the values are logs of ratios."""

    mean: float
    """NaN without a value."""
    se: float
    """Standard error of the mean; NaN with fewer than two values on a side."""
    df: float
    """Degrees of freedom; a fraction under Welch."""
    n: int
    """Number of pairs, or of processes on the smaller side."""
    paired: bool = True

    @property
    def p_difference(self) -> float:
        """Two-sided p-value of 'the mean is 0'; NaN where there is no interval."""
        if self.se == 0:  # identical values, as in a bit-equal repetition: certain, and 0/0 in the formula
            return 0.0 if self.mean else 1.0
        return 2 * float(stdtr(self.df, -abs(self.mean) / self.se)) if self.n > 1 else math.nan

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the ends of the interval at `1 - alpha`; NaN where there is none."""
        half = float(stdtrit(self.df, 1 - alpha / 2)) * self.se if self.n > 1 else math.nan
        return self.mean - half, self.mean + half

    def detectable(self, alpha: float, power: float) -> float:
        """Return the mean that a two-sided test of this spread finds with `power`; NaN where there is no interval.

        Solved from the noncentral t distribution, without the far tail, which holds less than 1e-4. With Welch, whose
        degrees of freedom vary between samples, three processes per side have a power of 70 % instead of 80 %.
        """
        if self.n < 2 or math.isnan(self.se):
            return math.nan
        return float(nctdtrinc(self.df, 1 - power, stdtrit(self.df, 1 - alpha / 2))) * self.se


def paired(d: Sequence[float]) -> Effect:
    """Return the mean of one difference per pair."""
    n = len(d)
    mean = float(np.mean(d)) if n else math.nan
    se = float(np.std(d, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Effect(mean=mean, se=se, df=n - 1, n=n)


def unpaired(a: Sequence[float], b: Sequence[float]) -> Effect:
    """Return the mean of b minus that of a, with the degrees of freedom of Welch and Satterthwaite."""
    n = min(len(a), len(b))
    mean = float(np.mean(b) - np.mean(a)) if n else math.nan
    if n < 2:
        return Effect(mean=mean, se=math.nan, df=math.nan, n=n, paired=False)
    parts = [float(np.var(x, ddof=1)) / len(x) for x in (a, b)]
    below = sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    df = sum(parts) ** 2 / below if below else len(a) + len(b) - 2
    return Effect(mean=mean, se=math.sqrt(sum(parts)), df=df, n=n, paired=False)
