"""The arithmetic of a comparison: from numbers to an estimate, an interval and a verdict, without frames or files.

The unit is the process. Two cells are compared by the differences of their pairs: processes that differ only in the
precision. Blocks within a process are not replicates and are not used here.

*Speed.* d = log(B / A) per pair, and a t-interval on the mean of d; Welch's interval between folders whose
processes do not pair up. `same` if it lies within +-log(1.01), else `faster` or `slower` if it excludes 0, else
`can't tell`.

*Accuracy.* Two one-sided t-tests (Schuirmann, 1987) on the differences in points: `equivalent` if both reject, that
is if the interval at 1 - 2 alpha lies within the margin; else `better` or `worse` if the interval at 1 - alpha
excludes 0; else `can't tell`.

Over a family of comparisons `holm` (Holm, 1979) gives each its own alpha, which widens its interval. One pair has
no interval, so its verdict is always `can't tell`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from ampbench.schema.margins import MARGIN_POINTS, RUN_SD_POINTS
from ampbench.visualize.stats.effect import ALPHA, SAME, Effect, paired
from ampbench.visualize.stats.sample_size import POWER, more_pairs, more_seeds

Speed = Literal["same", "faster", "slower", "can't tell"]
Accuracy = Literal["equivalent", "better", "worse", "can't tell"]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """Speed of B over speed of A."""

    verdict: Speed
    estimate: float
    """exp of the mean log-ratio; NaN without a pair."""
    low: float
    high: float
    """Interval at `1 - alpha`; NaN with fewer than two pairs."""
    n: int
    """Pairs of processes; without pairs, processes on the smaller side."""
    paired: bool = True
    alpha: float
    detectable: float
    """The smallest gain, as a share, that this n and this spread would show with 80 % power; NaN below two pairs."""
    more: int | None
    """About how many more pairs would decide; None if decided, or if more than 100 pairs would be needed."""

    def __str__(self) -> str:
        if self.n == 0:
            return "no pair"
        return f"{self.estimate:.2f}x" + (f" {interval(self.low, self.high)}" if self.n > 1 else " (n = 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Test accuracy of B minus that of A, in points (0.01 of the images)."""

    verdict: Accuracy
    estimate: float
    low: float
    high: float
    """Interval at 1 - 2 alpha, the one that TOST rests on; NaN with fewer than two pairs."""
    n: int
    """Pairs of seeds."""
    margin: float
    more: int | None
    """About how many more seeds would decide; None as above."""

    def __str__(self) -> str:
        if self.n == 0:
            return "no pair"
        return f"{self.estimate:+.2f} points" + (f" [{self.low:+.2f}, {self.high:+.2f}]" if self.n > 1 else " (n = 1)")


def interval(low: float, high: float) -> str:
    """Return the interval of a ratio in words; its upper end, huge for few pairs and a small alpha, stops at 100."""
    return f"[{low:.2f}, {high:.2f}]" if high <= 100 else f"[{low:.2f}, >100]"


def t_interval(d: ArrayLike, alpha: float = ALPHA, least_sd: float = 0.0) -> tuple[Floats, Floats, Floats]:
    """Return mean, lower and upper end of Student's interval at `1 - alpha` over the last axis of `d`.

    With fewer than two values the ends are NaN. `least_sd`, the resolution of the values, is a lower limit of their SD:
    accuracies count whole images, so two values may be equal by chance.
    """
    values = np.asarray(d, dtype=np.float64)
    n = values.shape[-1]
    mean = values.mean(axis=-1) if n else np.full(values.shape[:-1], np.nan)
    if n < 2:
        nan = np.full_like(mean, np.nan)
        return mean, nan, nan
    half = stdtrit(n - 1, 1 - alpha / 2) * np.maximum(values.std(axis=-1, ddof=1), least_sd) / math.sqrt(n)
    return mean, mean - half, mean + half


def p_difference(d: Sequence[float], least_sd: float = 0.0) -> float:
    """Return the two-sided p-value of 'the mean of d is 0'; NaN with fewer than two values."""
    if len(d) < 2:
        return math.nan
    return min(1.0, 2 * min(_p_below(d, 0.0, least_sd), _p_below([-x for x in d], 0.0, least_sd)))


def p_equivalence(d: Sequence[float], margin: float = MARGIN_POINTS, least_sd: float = 0.0) -> float:
    """Return the p-value of TOST: the greater of the two one-sided ones; NaN with fewer than two values."""
    if len(d) < 2:
        return math.nan
    return max(_p_below(d, margin, least_sd), _p_below([-x for x in d], margin, least_sd))


def _p_below(d: Sequence[float], bound: float, least_sd: float) -> float:
    """Return the one-sided p-value for 'the mean of d is below `bound`'."""
    values = np.asarray(d, dtype=np.float64)
    distance, se = values.mean() - bound, max(values.std(ddof=1), least_sd) / math.sqrt(len(values))
    if se == 0:  # identical pairs, as in a bit-equal repetition: certain, and 0/0 in the formula
        return 0.0 if distance < 0 else 1.0
    return float(stdtr(len(values) - 1, distance / se))


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


def compare_speed(log_ratios: Sequence[float], alpha: float = ALPHA) -> Ratio:
    """Judge the speed of B against A from one log(B / A) per pair of processes."""
    return judge_ratio(paired(log_ratios), alpha)


def judge_ratio(effect: Effect, alpha: float = ALPHA) -> Ratio:
    """Judge a ratio from the effect on its log."""
    mean, n = effect.mean, effect.n
    low, high = effect.interval(alpha)
    verdict: Speed = "can't tell"
    if low >= -SAME and high <= SAME:
        verdict = "same"
    elif low > 0 or high < 0:
        verdict = "faster" if mean > 0 else "slower"
    return Ratio(
        verdict=verdict,
        estimate=math.exp(mean),
        low=float(np.exp(low)),
        high=float(np.exp(min(high, 700.0))) if n > 1 else math.nan,  # e^700 is about the largest float
        n=n,
        paired=effect.paired,
        alpha=alpha,
        detectable=float(np.expm1(min(effect.detectable(alpha, POWER), 700.0))) if n > 1 else math.nan,
        more=more_pairs(mean, effect.se * math.sqrt(n), n, alpha) if verdict == "can't tell" else None,
    )


def compare_accuracy(
    points: Sequence[float],
    *,
    margin: float = MARGIN_POINTS,
    alpha_equivalence: float = ALPHA,
    alpha_difference: float = ALPHA,
    resolution: float = 0.0,
) -> Difference:
    """Judge the accuracy of B against A from one difference in points per pair of seeds.

    `resolution` is what one test image is worth, in points.
    """
    n = len(points)
    mean, low, high = (float(x) for x in t_interval(points, 2 * alpha_equivalence, resolution))
    _, lower, upper = (float(x) for x in t_interval(points, alpha_difference, resolution))
    verdict: Accuracy = "can't tell"
    if -margin <= low and high <= margin:
        verdict = "equivalent"
    elif lower > 0 or upper < 0:
        verdict = "better" if mean > 0 else "worse"
    more = None
    if verdict == "can't tell":
        # The spread of two differences is too uncertain to plan with, and one difference has none.
        sd = float(np.std(points, ddof=1)) if n > 2 else RUN_SD_POINTS * math.sqrt(2)
        alphas = {"alpha_equivalence": alpha_equivalence, "alpha_difference": alpha_difference}
        more = more_seeds(0.0 if math.isnan(mean) else mean, sd, n, margin=margin, **alphas)
    return Difference(verdict=verdict, estimate=mean, low=low, high=high, n=n, margin=margin, more=more)
