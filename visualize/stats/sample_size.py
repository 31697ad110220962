"""How many pairs a question needs, and how small a difference they can show. For planning: no verdict uses it.

`lent_df` are the degrees of freedom that a family of comparisons lends to each of them (`family.prior_df`).
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

import numpy as np
from scipy.special import chdtri, ndtr, stdtrit

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.visualize.stats.effect import ALPHA, SAME, Effect, Spread

POWER = 0.8
"""Power with which an effect is called detectable, and a number of seeds enough."""
SURE = 0.9
"""Power with which a number of pairs of timings is called enough."""
UPPER = 0.8
"""Confidence that a spread is not larger than assumed, where a number of pairs is planned with it."""
MOST_PAIRS = 100
"""Nobody will run more pairs than this; if more are needed, the answer to 'how many more' is None."""


def detectable(sd: float, n: int, alpha: float = ALPHA, power: float = POWER, lent_df: float = 0.0) -> float:
    """Return the mean difference that a two-sided paired t-test of n pairs finds with `power`; NaN below two pairs."""
    return Effect(mean=0.0, spreads=(Spread(variance=sd**2, df=n - 1 + lent_df, n=n),)).detectable(alpha, power)


def tost_power(
    n: int,
    sd: float,
    margin: float = MARGIN_POINTS,
    effect: float = 0.0,
    alpha: float = ALPHA,
    lent_df: float = 0.0,
) -> float:
    """Return the probability that n pairs whose differences spread by `sd` around `effect` are judged `equivalent`.

    The mean over the distribution of the sample's own spread (chi-squared, 400 quantiles) of the normal
    probability that the mean then lies far enough inside the margin.
    """
    if n < 2:
        return 0.0
    se = max(sd, 1e-12) / math.sqrt(n)
    quantiles = (np.arange(400) + 0.5) / 400
    df = n - 1 + lent_df
    sample_se = se * np.sqrt(chdtri(df, quantiles) / df)
    room = margin - stdtrit(df, 1 - alpha) * sample_se
    inside = ndtr((room - effect) / se) - ndtr((-room - effect) / se)
    return float(np.where(room > 0, inside, 0.0).mean())


def more_seeds(
    mean: float,
    sd: float,
    n: int,
    *,
    margin: float = MARGIN_POINTS,
    alpha_equivalence: float = ALPHA,
    alpha_difference: float = ALPHA,
    lent_df: float = 0.0,
) -> int | None:
    """Return about how many more pairs would decide, if mean and spread stay the same; None above 100 in total."""

    def decides(total: int) -> bool:
        equivalent = tost_power(total, sd, margin, mean, alpha_equivalence, lent_df) >= POWER
        return equivalent or detectable(sd, total, alpha_difference, lent_df=lent_df) <= abs(mean)

    return _first_beyond(max(n, 2), decides, n)


def more_pairs(mean: float, sd: float, n: int, alpha: float, lent_df: float = 0.0) -> int | None:
    """Return about how many more pairs of timings would decide, if the mean stays the same; None above 100 in total.

    A few pairs underestimate their own spread in about half of the cases, and then too few would be planned. So the
    upper 80 % confidence limit of the spread is used (Browne, 1995, "On the use of a pilot sample for sample size
    determination").
    """
    if n < 2:
        return 3 - n  # two pairs alone give an interval 12.7 standard errors wide, three one of 4.3
    upper = _upper(sd, n - 1 + lent_df)

    def decides(total: int) -> bool:
        half = stdtrit(total - 1 + lent_df, 1 - alpha / 2) * upper / math.sqrt(total)
        return _finds(abs(mean), upper, total, alpha, lent_df) or bool(half + abs(mean) <= SAME)

    return _first_beyond(n, decides, n)


def _upper(sd: float, df: float) -> float:
    """Return the upper confidence limit of a spread that is known with `df` degrees of freedom."""
    return sd * math.sqrt(df / float(chdtri(df, UPPER)))


def _finds(mean: float, sd: float, n: int, alpha: float, lent_df: float) -> bool:
    return detectable(sd, n, alpha, SURE, lent_df) <= mean


def _first_beyond(least: int, decides: Callable[[int], bool], n: int) -> int | None:
    """Return the first number of pairs above `least` that decides, minus n. Bisection: more pairs never decide less."""
    total = least + 1 + bisect.bisect_left(range(least + 1, MOST_PAIRS + 1), True, key=decides)
    return total - n if total <= MOST_PAIRS else None
