"""A family: all comparisons of one folder on one machine by one method.

They share two things. First, what they know of the noise. Two or three pairs hardly know their own spread, but all
comparisons of a family were measured in the same way on the same machine, so each borrows from the others (Smyth, 2004,
"Linear models and empirical Bayes methods for assessing differential expression in microarray experiments", section 3,
the moderated t):

    variance = (d0 * mean(s2) + df * s2) / (d0 + df)        with d0 + df degrees of freedom

where s2 and df are the comparison's own, and d0 is what the others are worth. Smyth estimates d0 from the data; here it
is a small constant, because that estimate gave 11-17 % false alarms where spreads differ between recipes.

Second, they share alpha: the more that is asked, the stronger must be what is told (Holm, 1979). A comparison that was
asked about before, with fewer pairs, shares its part with those earlier looks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ampbench.visualize.stats.effect import ALPHA, Effect, Spread

Numbers = TypeVar("Numbers", float, NDArray[np.float64])

MOST_PRIOR_DF = 4.0
COMPARISONS_PER_DF = 2.5
"""d0 = min(4, (G - 1) / 2.5) for G comparisons. With (G - 1) / 2, 9 comparisons of 2 pairs whose spreads differ by a
factor of e^0.6 raised 6.9 % false alarms; with 2.5 no family does more than 5.8 % (20,000 simulated families each,
`python -m ampbench.visualize.stats.simulate`)."""

ALONE_LOOKS = 1.5
"""Looks that a comparison without a family counts in addition where several were planned: the k-th look at alpha / k
told a difference in 9 % of pure noise, and with 1.5 more in 5.9 %. Of several comparisons Holm leaves room enough: no
family does more than 5.8 % (`python -m ampbench.visualize.stats.simulate_rounds`)."""

LEAST_SD = 0.001
"""Of log-ratios of speeds. Timing ends when a speed is known to 0.5 %, so pairs that agree more closely than 0.1 %, or
exactly because they were rounded, agree by chance: no interval may be as narrow, let alone without width."""


def prior_df(num_comparisons: int) -> float:
    """Return d0: how many degrees of freedom the others of a family are worth to each of its comparisons."""
    return min(MOST_PRIOR_DF, max(num_comparisons - 1, 0) / COMPARISONS_PER_DF)


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """The effects of all comparisons that share their noise and their alpha."""

    name: str
    """As in `all 12 comparisons of this folder on AMD EPYC by method 4`."""
    effects: tuple[Effect, ...]
    """As measured, in the order of the comparisons; those with fewer than two pairs are no members."""
    lends: tuple[bool, ...] = ()
    """Whether the others learn from a comparison's spread; not where one of its processes is an outlier, whose
    one slow round would widen the interval of everybody. Empty: all do."""
    least_variance: tuple[float, ...] = ()
    """No variance is taken to be smaller: the square of what one test image is worth. Empty: 0."""

    @property
    def shrunken(self) -> list[Effect]:
        """The effects with their variances shrunk towards that of the family; paired and unpaired ones apart."""
        found = list(self.effects)
        for kind in (True, False):
            members = [i for i, effect in enumerate(self.effects) if effect.paired is kind and effect.n > 1]
            lenders = [i for i in members if not self.lends or self.lends[i]] or members
            d0, pool = prior_df(len(members)), _mean_variance([self.effects[i] for i in lenders])
            for i in members:
                least = self.least_variance[i] if self.least_variance else 0.0
                spreads = tuple(_shrunken(spread, d0, pool, least) for spread in self.effects[i].spreads)
                found[i] = dataclasses.replace(self.effects[i], spreads=spreads)
        return found

    def alphas(self, p_value: Callable[[Effect], float], num_looks: Sequence[float] = ()) -> list[float]:
        """Return the alpha at which each comparison is to be tested so that the whole family holds 5 %.

        Args:
            p_value: of the question that is asked of each shrunken effect.
            num_looks: what the part of each comparison is divided by: the numbers of pairs at which it was asked,
                this one included; by default 1.
        """
        looks = list(num_looks) or [1] * len(self.effects)
        p_values = [p_value(effect) * num for effect, num in zip(self.shrunken, looks, strict=True)]
        return [alpha / num for alpha, num in zip(holm(p_values), looks, strict=True)]


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[float]:
    """Return the alpha at which each member of a family is to be tested so that the whole holds `alpha`.

    The k-th smallest of m p-values is tested at alpha / (m - k + 1). The first that is not rejected, and all after it,
    keep the alpha of that first one: none of them may be rejected, and at this alpha none of their intervals excludes
    0. A NaN (no interval, so no claim) is not a member of the family.
    """
    real = [i for i, p in enumerate(p_values) if not math.isnan(p)]
    alphas = [alpha] * len(p_values)
    level, stopped = alpha, False
    for rank, i in enumerate(sorted(real, key=lambda i: p_values[i])):
        if not stopped:
            level = alpha / (len(real) - rank)
            stopped = p_values[i] > level
        alphas[i] = level
    return alphas


def _mean_variance(effects: Sequence[Effect]) -> float:
    """Return the mean variance, each weighted by how well it is known; NaN without one."""
    spreads = [spread for effect in effects for spread in effect.spreads]
    return float(np.average([s.variance for s in spreads], weights=[s.df for s in spreads])) if spreads else math.nan


def shrunken_variance(variance: Numbers, df: float, d0: float, pool: Numbers) -> Numbers:
    """Return a variance with `df` degrees of freedom, shrunk towards that of the family; of many at once too."""
    return (d0 * pool + df * variance) / (d0 + df)


def _shrunken(spread: Spread, d0: float, pool: float, least: float) -> Spread:
    variance = max(shrunken_variance(spread.variance, spread.df, d0, pool), least)
    return Spread(variance=variance, df=d0 + spread.df, n=spread.n)
