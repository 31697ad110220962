"""The largest batch size that fits: where to try next, from what is known of the sizes that were tried.

Pure arithmetic, so that a search which was interrupted goes on from its records, to the same answer. A size that fits
is sought upwards: first where a prediction points, else by doubling; then the gap is bisected. Study S4's finder, from
32 by doubling to 2048, is `next_size(tried, start=32, floor=32, ceiling=2048, refine=False)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SHRINK = 0.8
"""After a predicted size ran out of memory: predictions miss the kernels' workspaces, a few per cent to a fifth."""

GROW = 1.25
"""After a predicted size fitted; once that fits, too, the prediction is of no use and the size is doubled."""


def grid_step(size: int) -> int:
    """Return the distance of two sizes that are told apart: 1 below 32, then 2, 4, 8, …, at most a sixteenth of it.

    From 128 on, the sizes of this grid are multiples of 8, which matrix units like.
    """
    return max(1, 2 ** (size.bit_length() - 5))


def on_grid(size: float) -> int:
    """Return the largest size of the grid that is not above `size`, and at least 1."""
    whole = max(1, math.floor(size))
    return whole - whole % grid_step(whole)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bracket:
    """What is known: the answer lies from `fits` on, below `fails`."""

    fits: int
    """The largest size that fitted below all that failed; 0 if none did."""
    fails: int | None
    """The smallest size that did not fit; None if all did."""

    @classmethod
    def of(cls, tried: Mapping[int, bool]) -> Bracket:
        """Return it for sizes and whether they fitted. Above a size that failed, luck is no evidence."""
        fails = min((size for size, fits in tried.items() if not fits), default=None)
        return cls(
            fits=max((size for size, fits in tried.items() if fits and (fails is None or size < fails)), default=0),
            fails=fails,
        )


def next_size(
    tried: Mapping[int, bool],
    *,
    start: int,
    floor: int = 1,
    ceiling: int,
    guess: Callable[[], int | None] = lambda: None,
    refine: bool = True,
) -> int | None:
    """Return the size to try next; None when the answer is known to within a step of the grid, or there is none.

    Args:
        tried: sizes, and whether they fitted.
        start: the first one.
        floor: no smaller one makes sense.
        ceiling: no larger one does.
        guess: a predicted answer; it is asked for only where it can help. None if there is no prediction.
        refine: whether the gap between a size that fits and one that does not is bisected.
    """
    known = Bracket.of(tried)
    if not tried:
        return min(max(start, floor), ceiling)
    if known.fails is None:
        return None if known.fits >= ceiling else min(ceiling, _above(known.fits, guess()))
    if not known.fits:
        return max(floor, on_grid(known.fails / 2)) if known.fails > floor else None
    if not refine or known.fails - known.fits <= grid_step(known.fits):
        return None
    return _between(known.fits, known.fails, num_failed=sum(not fits for fits in tried.values()))


def _above(fits: int, guess: int | None) -> int:
    if guess is None:
        return 2 * fits
    size = guess if fits < guess else fits * (GROW if fits < GROW * guess else 2)
    return max(on_grid(size), fits + grid_step(fits))


def _between(fits: int, fails: int, *, num_failed: int) -> int:
    if num_failed == 1 and fits < SHRINK * fails:
        size = SHRINK * fails
    elif fits < fails / 2:
        size = math.sqrt(fits * fails)
    else:
        size = (fits + fails) / 2
    return max(on_grid(size), fits + grid_step(fits))
