"""The arithmetic of a comparison: from an effect to an estimate, an interval and a verdict, without frames or files.

The unit is the process. Two cells are compared by the differences of their pairs: processes that differ only in the
precision. Blocks within a process are not replicates and are not used here.

*Speed.* d = log(B / A) per pair, and a t-interval on the mean of d; Welch's interval between folders whose
processes do not pair up. `same` if it lies within +-log(1.01), else `faster` or `slower` if it excludes 0, else
`can't tell`. The estimate is exp of the mean of d, which is the ratio of the geometric means of the two sides: whoever
divides the images/s that stand in the table gets the speed-up that stands beside them.

*Accuracy.* Two one-sided t-tests (Schuirmann, 1987) on the differences in points: `equivalent` if both reject, that
is if the interval at 1 - 2 alpha lies within the margin; else `better` or `worse` if the interval at 1 - alpha
excludes 0; else `can't tell`.

`family` lends each comparison what the others know of the noise, and gives it its alpha. One pair has no interval, so
its verdict is always `can't tell`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ampbench.schema.margins import MARGIN_POINTS, RUN_SD_POINTS
from ampbench.visualize.stats.effect import ALPHA, SAME, Effect, paired
from ampbench.visualize.stats.sample_size import POWER, more_pairs, more_seeds

Change = Literal["same", "faster", "slower", "more", "less", "can't tell"]
"""Of a ratio: `faster` or `slower` of a speed, `more` or `less` of memory and energy."""
Accuracy = Literal["equivalent", "better", "worse", "can't tell"]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """Speed, memory or energy of B over that of A."""

    verdict: Change
    estimate: float
    """Geometric mean of B over that of A; NaN without a pair."""
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
        places = decimals(self.low, self.high)
        return f"{self.estimate:.{places}f}x" + (f" {interval(self.low, self.high)}" if self.n > 1 else " (n = 1)")

    @property
    def told(self) -> bool:
        """Whether the interval decides."""
        return self.verdict != "can't tell"


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


WIDEST = 2.0
"""An interval whose ends differ by a larger factor is not written as numbers."""
FINE = 0.02
"""Two decimals say nothing of an interval narrower than this, nor of a ratio whose interval ends below 0.1."""


def interval(low: float, high: float) -> str:
    """Return the interval of a ratio in words: both ends; of a wide one that excludes 1 the end next to 1; or nothing.

    A wide interval that contains 1 holds no number that anybody could use.
    """
    if math.isnan(low) or math.isnan(high):
        return "(no interval)"
    places = decimals(low, high)
    if high <= WIDEST * low:
        return f"[{low:.{places}f}, {high:.{places}f}]"
    at_most, at_least = f"(at most {high:.{places}f})", f"(at least {low:.2f})"
    return at_most if high < 1 else at_least if low > 1 else "(too noisy to say)"


def decimals(low: float, high: float) -> int:
    """Return with how many decimals a ratio with this interval is written."""
    return 3 if high - low < FINE or high < 0.1 else 2


def compare_speed(log_ratios: Sequence[float], alpha: float = ALPHA) -> Ratio:
    """Judge the speed of B against A from one log(B / A) per pair of processes."""
    return judge_ratio(paired(log_ratios), alpha)


def judge_ratio(effect: Effect, alpha: float = ALPHA, *, up: Change = "faster", down: Change = "slower") -> Ratio:
    """Judge a ratio from the effect on its log; `up` and `down` are the verdicts on ratios above and below 1."""
    mean, n = effect.mean, effect.n
    low, high = effect.interval(alpha)
    verdict: Change = "can't tell"
    if low >= -SAME and high <= SAME:
        verdict = "same"
    elif low > 0 or high < 0:
        verdict = up if mean > 0 else down
    more = None
    if verdict == "can't tell":
        more = more_pairs(mean, effect.se * math.sqrt(n), n, alpha, lent_df=effect.df - (n - 1))
    return Ratio(
        verdict=verdict,
        estimate=_exp(mean),
        low=_exp(low),
        high=_exp(high),
        n=n,
        paired=effect.paired,
        alpha=alpha,
        detectable=_exp(effect.detectable(alpha, POWER)) - 1,
        more=more,
    )


def judge_difference(
    effect: Effect,
    *,
    margin: float = MARGIN_POINTS,
    alpha_equivalence: float = ALPHA,
    alpha_difference: float = ALPHA,
) -> Difference:
    """Judge the accuracy of B against A from the effect in points."""
    mean, n = effect.mean, effect.n
    low, high = effect.interval(2 * alpha_equivalence)
    lower, upper = effect.interval(alpha_difference)
    verdict: Accuracy = "can't tell"
    if -margin <= low and high <= margin:
        verdict = "equivalent"
    elif lower > 0 or upper < 0:
        verdict = "better" if mean > 0 else "worse"
    more = None
    if verdict == "can't tell":
        # The spread of two differences is too uncertain to plan with, and one difference has none.
        known = n > 1 and effect.df >= 2
        more = more_seeds(
            0.0 if math.isnan(mean) else mean,
            effect.se * math.sqrt(n) if known else RUN_SD_POINTS * math.sqrt(2),
            n,
            margin=margin,
            alpha_equivalence=alpha_equivalence,
            alpha_difference=alpha_difference,
            lent_df=effect.df - (n - 1) if known else 0.0,
        )
    return Difference(verdict=verdict, estimate=mean, low=low, high=high, n=n, margin=margin, more=more)


def _exp(x: float) -> float:
    return float(np.exp(min(x, 700.0)))  # e^700 is about the largest float; NaN stays NaN
