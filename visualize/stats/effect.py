"""A mean difference and its uncertainty, for processes that form pairs and for processes that do not.

With pairs, there is one difference per pair and one spread, that of the differences (Student, 1908). Without pairs, the
means of the two sides are compared, each with its own spread (Welch, 1947). Every verdict rests on one of the two; what
the family of comparisons adds to the spreads is in `family`.
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
class Spread:
    """How far values lie from their mean, and how well that is known."""

    variance: float
    """NaN with fewer than two values."""
    df: float
    """Degrees of freedom of that variance: n - 1, and more where a family lends some."""
    n: int
    """Values that the mean is over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What a t-test needs, in the unit of the values; for a speed the values are logs of ratios."""

    mean: float
    """NaN without a value."""
    spreads: tuple[Spread, ...]
    """One, of the differences of the pairs; or two, of the processes of either side."""

    @property
    def paired(self) -> bool:
        """Whether the values are differences of pairs."""
        return len(self.spreads) == 1

    @property
    def n(self) -> int:
        """Number of pairs, or of processes on the smaller side."""
        return min(spread.n for spread in self.spreads)

    @property
    def se(self) -> float:
        """Standard error of the mean; NaN with fewer than two values on a side."""
        return math.sqrt(sum(self._parts)) if self.n > 1 else math.nan

    @property
    def df(self) -> float:
        """Degrees of freedom, by Satterthwaite (1946) where there are two spreads."""
        below = sum(part**2 / spread.df for part, spread in zip(self._parts, self.spreads, strict=True) if spread.df)
        return sum(self._parts) ** 2 / below if below else sum(spread.df for spread in self.spreads)

    @property
    def p_difference(self) -> float:
        """Two-sided p-value of 'the mean is 0'; NaN where there is no interval."""
        return min(2 * self._p_below(-abs(self.mean), 0.0), 1.0)  # in this order a NaN stays one

    def p_equivalence(self, margin: float) -> float:
        """Return the p-value of TOST: the greater of the two one-sided ones; NaN where there is no interval."""
        return self._p_below(abs(self.mean), margin)

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

    @property
    def _parts(self) -> list[float]:
        """The variance of the mean of each side."""
        return [spread.variance / spread.n if spread.n else math.nan for spread in self.spreads]

    def _p_below(self, mean: float, bound: float) -> float:
        """Return the one-sided p-value of 'a mean like this lies below `bound`'."""
        if self.n < 2:
            return math.nan
        if self.se == 0:  # identical values, as in a bit-equal repetition: certain, and 0/0 in the formula
            return 0.0 if mean < bound else 1.0
        return float(stdtr(self.df, (mean - bound) / self.se))


def paired(d: Sequence[float]) -> Effect:
    """Return the mean of one difference per pair."""
    return Effect(mean=float(np.mean(d)) if len(d) else math.nan, spreads=(spread_of(d),))


def unpaired(a: Sequence[float], b: Sequence[float]) -> Effect:
    """Return the mean of b minus that of a, with the spread of each."""
    mean = float(np.mean(b) - np.mean(a)) if len(a) and len(b) else math.nan
    return Effect(mean=mean, spreads=(spread_of(a), spread_of(b)))


def spread_of(values: Sequence[float]) -> Spread:
    """Return the spread of values around their mean."""
    n = len(values)
    return Spread(variance=float(np.var(values, ddof=1)) if n > 1 else math.nan, df=max(n - 1, 0), n=n)
