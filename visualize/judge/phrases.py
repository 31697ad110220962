"""Measurements as words that need no statistics: ratios, spans of time, sizes of memory."""

from __future__ import annotations

import math

from ampbench.visualize.stats.statistics import WIDEST, Ratio

SLOW = 2 / 3
"""Below this ratio a recipe is said to be so many times slower, instead of so many per cent."""
NEARLY = 1.2
"""Below this ratio a second decimal is worth its place."""
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
GIB = 2**30


def as_fast(ratio: Ratio, reference: str) -> str:
    """Return `2.0x as fast as fp32 (between 1.7 and 2.4)`, or `8.3x slower than fp32 (between 7.0 and 9.9)`."""
    if not ratio.n:
        return f"not comparable with {reference}"
    return speed_words(ratio, reference) + span(ratio)


def in_short(ratio: Ratio, reference: str) -> str:
    """Return a ratio of speeds in words and in few digits, for a clause."""
    return speed_words(ratio, reference, 0.1 if ratio.estimate >= NEARLY else 0.01)


def speed_words(ratio: Ratio, reference: str, exact: float | None = None) -> str:
    """Return a ratio of speeds in words, without its interval; `exact` is how well it is known."""
    factor = ratio.estimate
    if factor < SLOW:
        return f"{digits(1 / factor, 0.1)}x slower than {reference}"
    if factor < 0.99:
        return f"{100 * (1 - factor):.0f} % slower than {reference}"
    return f"{digits(factor, _exact(ratio) if exact is None else exact)}x as fast as {reference}"


def span(ratio: Ratio) -> str:
    """Return the interval of a ratio in brackets, with a space before it."""
    if ratio.n < 2 or math.isnan(ratio.low):
        return " (seen once)"
    if ratio.high > WIDEST * ratio.low:  # nobody can use both ends
        return f" (at least {digits(ratio.low, 0.1)})" if ratio.low > 1 else " (too noisy to say how much)"
    low, high = ratio.low, ratio.high
    if ratio.estimate < SLOW:
        return f" (between {digits(1 / high, 0.1)} and {digits(1 / low, 0.1)})"
    if ratio.estimate < 0.99:
        return f" (between {100 * (1 - high):.0f} and {100 * (1 - low):.0f} %)"
    ends = [digits(end, _exact(ratio)) for end in (low, high)]
    if ends[0] == ends[1]:  # no measurement is exact
        ends = [f"{end:.3f}" for end in (low, high)]
    return f" (between {ends[0]} and {ends[1]})"


def _exact(ratio: Ratio) -> float:
    """Return half the width of the interval; without one, what tells the ratio from 1."""
    known = ratio.n > 1 and ratio.high <= WIDEST * ratio.low
    return (ratio.high - ratio.low) / 2 if known else abs(ratio.estimate - 1) / 2


def digits(value: float, exact: float) -> str:
    """Return a factor with one decimal where it is known to no more than 0.05 or so, else with two."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if exact >= 0.08 else f"{value:.2f}"


def less(share: float, what: str) -> str:
    """Return `21 % less memory`, or `more`; empty within 1 % or where it is unknown."""
    if math.isnan(share) or abs(share) < 0.01:
        return ""
    return f"{100 * abs(share):.0f} % {'less' if share > 0 else 'more'} {what}"


def time_words(seconds: float) -> str:
    """Return a span of time with its unit, to two digits."""
    size, unit = _unit(seconds)
    return f"{_two(seconds / size)} {unit}"


def from_to(before_s: float, after_s: float) -> str:
    """Return `62 → 30 h`; each span has its own unit where one would not do for both."""
    size, unit = _unit(before_s)
    if after_s / size < 1:
        return f"{time_words(before_s)} → {time_words(after_s)}"
    return f"{_two(before_s / size)} → {_two(after_s / size)} {unit}"


def memory_words(num_bytes: float) -> str:
    """Return a size in GiB, or in MiB below one."""
    return f"{num_bytes / GIB:.1f} GiB" if num_bytes >= GIB else f"{num_bytes / 2**20:.0f} MiB"


def _unit(seconds: float) -> tuple[float, str]:
    if seconds < 2 * MINUTE_S:
        return 1, "s"
    if seconds < 2 * HOUR_S:
        return MINUTE_S, "min"
    return (HOUR_S, "h") if seconds < 4 * DAY_S else (DAY_S, "days")


def _two(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
