"""How far each of several processes lies from its siblings: a round in which the machine did something else.

Two or three siblings hardly know their own spread, so it is taken from all cells of the folder: the median absolute
deviation from the siblings' median (Iglewicz & Hoaglin, 1993, "How to detect and handle outliers", section 3.3).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ampbench.visualize.stats.effect import SAME

FAR = 3.5
"""Modified z-score from which a value is called an outlier (the same source)."""
GROSS = 10.0
"""From here on a value says nothing of the usual spread. Spreads of recipes differ by factors of two and three, so a
value at 3.5 may still be an honest one of a noisy recipe: with those left out, 12 comparisons of 2 pairs raised 8.7 %
false alarms (600 simulated families), with 10 as the limit 4.5 %."""
TO_SD = 1.4826
"""A median absolute deviation times this is the standard deviation of normal values."""


def z_scores(logs: ArrayLike, cells: ArrayLike) -> NDArray[np.float64]:
    """Return the modified z-score of each value among its siblings; 0 for a value without siblings.

    Args:
        logs: logs of speeds, one per process.
        cells: of each value the number of its cell; the values of one cell are siblings.

    Of two siblings that differ, the smaller one gets all of it, since what disturbs a process makes it slower. The
    spread is never taken to be below 1 %, which counts as the same speed, nor below the siblings' own where four of
    them know it.
    """
    values, codes = np.asarray(logs, dtype=np.float64), np.unique(np.asarray(cells), return_inverse=True)[1]
    away, own, counts = np.zeros_like(values), np.zeros_like(values), np.zeros(len(values), dtype=np.bool_)
    for code in range(codes.max() + 1 if len(codes) else 0):
        siblings = np.flatnonzero(codes == code)
        n = len(siblings)
        if n < 2:
            continue
        distance = values[siblings] - np.median(values[siblings])
        away[siblings] = distance * math.sqrt(n / (n - 1))  # a median that is fitted to n values takes one of them
        own[siblings] = TO_SD * np.median(np.abs(distance)) if n > 3 else 0.0
        counts[siblings[np.argsort(np.abs(distance))[n % 2 :]]] = True  # the median itself tells nothing of the spread
        if n == 2:
            away[siblings[np.argmax(distance)]] = 0.0
            counts[siblings[np.argmax(distance)]] = False
    if not counts.any():
        return away
    scale: NDArray[np.float64] = np.maximum(own, max(SAME, TO_SD * float(np.median(np.abs(away[counts])))))
    return away / scale
