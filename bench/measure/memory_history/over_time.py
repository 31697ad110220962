"""What each category holds at many moments of a history, so that its course can be drawn as a stack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ampbench.bench.measure.memory_history.purpose import ACTIVATIONS, AUTOCAST_CACHE, Allocation

Levels: TypeAlias = NDArray[np.int64]


def by_category(
    allocations: Iterable[tuple[Allocation, str]], moments: Sequence[int], cast_bytes: Iterable[int] = ()
) -> dict[str, Levels]:
    """Return category -> bytes that it holds at each moment; a category that holds nothing at any is left out.

    Args:
        allocations: of a history, each with its category.
        moments: numbers of events that had happened, ascending.
        cast_bytes: sizes of autocast's copies. Their stacks are those of activations, so at each moment that many
            activations of each size are counted as copies, as in the composition of the peak.
    """
    places = np.asarray(moments)
    casts = Counter(cast_bytes)
    change: dict[str, Levels] = {}
    number: dict[int, Levels] = {size: np.zeros(len(places) + 1, np.int64) for size in casts}
    for made, category in allocations:
        # Live from the moment after it was made up to the one before its free has happened.
        begin = int(np.searchsorted(places, made.made_at, side="right"))
        end = int(np.searchsorted(places, made.freed_at, side="right"))
        own = change.setdefault(category, np.zeros(len(places) + 1, np.int64))
        own[begin] += made.size_bytes
        own[end] -= made.size_bytes
        if category == ACTIVATIONS and made.size_bytes in number:
            number[made.size_bytes][begin] += 1
            number[made.size_bytes][end] -= 1
    held: dict[str, Levels] = {category: np.cumsum(own)[:-1] for category, own in change.items()}
    for size, own in number.items():
        copies = size * np.minimum(np.cumsum(own)[:-1], casts[size])
        if copies.any():
            held[ACTIVATIONS] = held[ACTIVATIONS] - copies
            held[AUTOCAST_CACHE] = held.get(AUTOCAST_CACHE, np.zeros(len(places), np.int64)) + copies
    return {category: levels for category, levels in held.items() if levels.any()}
