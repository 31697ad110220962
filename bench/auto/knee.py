"""The knee of images/s over the batch size: the smallest batch that is about as fast as any, and where to try next.

The speed grows with the batch while the device is not full, then it is flat, and may fall. A larger batch than the
knee's buys no time, takes more memory, and often costs accuracy (Keskar et al., 2017, "On Large-Batch Training").
Pure arithmetic, so that a search which was interrupted goes on from its records, to the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

FIRST = 16
"""The batch size that a search begins with; the grid is its doublings."""

ENOUGH = 0.95
"""Share of the best speed from which on a batch size counts as fast: above the noise of single processes, which is
about 3 % on a quiet machine, so that noise prefers the smaller size."""

FLAT = 1.03
"""Two doublings that bring less than this factor end the search: one alone may be noise, or an uneven kernel."""

Speeds = Mapping[int, float | None]
"""Batch size -> images/s; None where it could not be used, as it ran out of memory."""


def knee(speeds: Speeds) -> int | None:
    """Return the smallest batch size within 5 % of the best speed; None if none could be used."""
    known = _known(speeds)
    return min((size for size in known if known[size] >= ENOUGH * max(known.values())), default=None)


def next_size(speeds: Speeds, *, start: int = FIRST, floor: int = 1, ceiling: int) -> int | None:
    """Return the batch size to time next; None when the knee is known.

    First the grid upwards, until it is flat, or falls, or ends at the ceiling or at a size that cannot be used; then
    half-way to the neighbours that are open: below the knee, and above the last size if the speed still grew there.

    Args:
        speeds: what was timed.
        start: where the grid begins.
        floor: no smaller size makes sense.
        ceiling: no larger one does.
    """
    known = _known(speeds)
    first = min(max(start, floor), ceiling)
    if not speeds:
        return first
    if not known:
        lowest = min(speeds)
        return max(floor, lowest // 2) if lowest > floor else None
    unusable = min((size for size, speed in speeds.items() if speed is None and size > min(known)), default=None)
    climbed = _grid(known, first)
    if unusable is None and climbed[-1] < ceiling and not is_flat([known[size] for size in climbed]):
        return min(2 * climbed[-1], ceiling)
    gap = _below_the_wall(known, unusable) if unusable is not None else None
    return gap or _below_the_knee(known, climbed, speeds)


def is_flat(speeds: list[float]) -> bool:
    """Whether the last two doublings of the batch size brought less than 3 % together."""
    return len(speeds) > 2 and max(speeds[-2:]) < FLAT * max(speeds[:-2])


def _grid(known: Mapping[int, float], first: int) -> list[int]:
    """Return the sizes of the doublings that were timed, in order, with a last one cut at the ceiling."""
    grid = [min(first, min(known))]
    while above := [size for size in known if grid[-1] < size <= 2 * grid[-1]]:
        grid.append(max(above))
    return grid


def _below_the_wall(known: Mapping[int, float], unusable: int) -> int | None:
    """Return a size between the largest that could be used and the smallest that could not, if it may be much faster.

    What it may gain is extrapolated with the exponent of the last two sizes, an upper bound while the curve bends down.
    """
    sizes = sorted(known)
    top, below = sizes[-1], sizes[-2] if len(sizes) > 1 else None
    exponent = 1.0 if below is None else math.log(known[top] / known[below]) / math.log(top / below)
    if unusable - top < 2 or ((unusable - 1) / top) ** max(0.0, exponent) <= 1 / ENOUGH:
        return None
    return (top + unusable) // 2


def _below_the_knee(known: Mapping[int, float], climbed: list[int], speeds: Speeds) -> int | None:
    """Return the size half-way to the doubling below the knee, once."""
    chosen = knee(known)
    below = [size for size in climbed if chosen is not None and size < chosen]
    size = (below[-1] + chosen) // 2 if below and chosen in climbed else None
    return size if size not in speeds else None


def _known(speeds: Speeds) -> dict[int, float]:
    return {size: speed for size, speed in speeds.items() if speed is not None}
