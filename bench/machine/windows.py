"""Arithmetic on a board's samples in windows of time: interpolation, the increase of a counter, an integral.

Samples are in order of time, and each field of them may be None. A window is (begin_s, end_s) on the samples' clock:
that of a timing block. No NVML, no torch.
"""

from __future__ import annotations

import itertools
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter, itemgetter
from typing import TypeVar

from ampbench.schema.board import BoardSample

Number = TypeVar("Number", int, float)

Samples = Sequence[BoardSample]
Quantity = Callable[[BoardSample], float | None]
"""A field of a sample."""
Window = tuple[float, float]
Points = list[tuple[float, float]]
"""(time_s, value)."""

MAX_GAP_S = 0.5
"""Longest time between two samples: a longer gap is unknown, and nothing is interpolated across it."""

MIN_KNOWN_SHARE = 0.5
"""Share of the windows' time: a mean over less of it is null."""


def within(samples: Samples, begin_s: float, end_s: float) -> Samples:
    """Return the samples taken in a window, its borders included."""
    time_s = attrgetter("time_s")
    return samples[bisect_left(samples, begin_s, key=time_s) : bisect_right(samples, end_s, key=time_s)]


def within_all(samples: Samples, windows: Iterable[Window]) -> list[BoardSample]:
    """Return the samples taken in windows; a sample on the border between two adjacent windows is returned once."""
    return [sample for window in spans(windows) for sample in within(samples, *window)]


def spans(windows: Iterable[Window]) -> list[Window]:
    """Join windows that are adjacent to within a millisecond: the blocks of an epoch, each of which may be short."""
    joined: list[Window] = []
    for begin_s, end_s in windows:
        if joined and begin_s - joined[-1][1] < 1e-3:
            joined[-1] = (joined[-1][0], end_s)
        else:
            joined.append((begin_s, end_s))
    return joined


def total_s(windows: Iterable[Window]) -> float:
    """Return the total length of windows."""
    return sum(end_s - begin_s for begin_s, end_s in windows)


def sum_where_known(
    windows: Iterable[Window], measure: Callable[[float, float], float | None]
) -> tuple[float, float] | None:
    """Add up a measure over the windows where it is known, adjacent ones taken as one; return it and their seconds.

    None if it is known for less than `MIN_KNOWN_SHARE` of their time.
    """
    joined = spans(windows)
    known = [(value, end_s - begin_s) for begin_s, end_s in joined if (value := measure(begin_s, end_s)) is not None]
    known_s = sum(length_s for _, length_s in known)
    if not known or known_s < MIN_KNOWN_SHARE * total_s(joined):
        return None
    return sum(value for value, _ in known), known_s


def points(samples: Samples, quantity: Quantity, begin_s: float, end_s: float) -> Points:
    """Return where a quantity is known, from `MAX_GAP_S` before a window to `MAX_GAP_S` after it."""
    around = within(samples, begin_s - MAX_GAP_S, end_s + MAX_GAP_S)
    return [(sample.time_s, value) for sample in around if (value := quantity(sample)) is not None]


def value_at(points: Points, time_s: float) -> float | None:
    """Interpolate linearly; None outside the first and the last point, and in a gap."""
    i = bisect_left(points, time_s, key=itemgetter(0))
    if i < len(points) and points[i][0] == time_s:
        return points[i][1]
    if i in (0, len(points)):
        return None
    (t0, v0), (t1, v1) = points[i - 1], points[i]
    return None if t1 - t0 > MAX_GAP_S else v0 + (v1 - v0) * (time_s - t0) / (t1 - t0)


def rise(counter: Points, begin_s: float, end_s: float) -> float | None:
    """Return the increase of a counter; None if it is not known at a border, or decreased because it was reset."""
    before, after = value_at(counter, begin_s), value_at(counter, end_s)
    if before is None or after is None or any(v1 < v0 for (_, v0), (_, v1) in itertools.pairwise(counter)):
        return None
    return after - before


def longest_standstill_s(counter: Points) -> float:
    """Return the longest time for which a counter kept one value."""
    stretches = (list(same) for _, same in itertools.groupby(counter, key=itemgetter(1)))
    return max((stretch[-1][0] - stretch[0][0] for stretch in stretches), default=0.0)


def integral(curve: Points, begin_s: float, end_s: float) -> float | None:
    """Return the area under a curve, by trapezoids; None if it is not known at a border, or has a gap."""
    first, last = value_at(curve, begin_s), value_at(curve, end_s)
    if first is None or last is None:
        return None
    inner = [(begin_s, first), *((t, v) for t, v in curve if begin_s < t < end_s), (end_s, last)]
    steps = [(t1 - t0, (v0 + v1) / 2) for (t0, v0), (t1, v1) in itertools.pairwise(inner)]
    return None if max(steps)[0] > MAX_GAP_S else sum(length_s * mean for length_s, mean in steps)


def median(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that are known; None without any."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def largest(values: Iterable[Number | None]) -> Number | None:
    """Return the largest of the values that are known; None without any."""
    return max((value for value in values if value is not None), default=None)
