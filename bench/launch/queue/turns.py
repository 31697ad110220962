"""In which order groups begin on several boards: the plan's, as long as that costs no time, then what ends earliest.

Longest-processing-time-first is at most 4/3 - 1/(3m) times as long as the best order on m boards (Graham, 1969,
"Bounds on multiprocessing timing anomalies"). Groups that want several boards begin before narrower ones, since boards
that stand free one after the other would have to wait for one another.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

MAY_COST = 1.02
"""The plan's order is kept where the whole then takes at most so many times as long as in the best order known."""

FINENESS = 64
"""How many groups keep the plan's order is found to one part in so many."""

Job = tuple[float, int]
"""Seconds that a group takes, and on how many boards."""


def in_turn(jobs: Sequence[Job], num_boards: int) -> list[int]:
    """Return the places of the jobs in the order in which they begin.

    They are the first of the plan, as many of them as cost no time, and then the rest, the widest or the longest first.

    Args:
        jobs: in the plan's order.
        num_boards: that they run on.
    """
    planned = list(range(len(jobs)))
    if num_boards == 1 or len(jobs) < 2:
        return planned
    orders = [sorted(planned, key=lambda i: -jobs[i][0])]
    if max(size for _, size in jobs) > 1:
        orders.append(sorted(planned, key=lambda i: (-jobs[i][1], -jobs[i][0])))
    _, best = min((makespan_s([jobs[i] for i in order], num_boards), order) for order in orders)
    limit_s = MAY_COST * makespan_s([jobs[i] for i in best], num_boards)

    def with_first(count: int) -> list[int]:
        return [*planned[:count], *(i for i in best if i >= count)]

    def is_in_time(count: int) -> bool:
        return makespan_s([jobs[i] for i in with_first(count)], num_boards) <= limit_s

    if is_in_time(len(jobs)):
        return planned
    kept, too_many = 0, len(jobs)
    while too_many - kept > max(1, len(jobs) // FINENESS):
        middle = (kept + too_many) // 2
        kept, too_many = (middle, too_many) if is_in_time(middle) else (kept, middle)
    return with_first(kept)


def makespan_s(jobs: Iterable[Job], num_boards: int) -> float:
    """Return when the last of the jobs ends, if each begins in its turn as soon as so many boards are free."""
    free_s = [0.0] * num_boards
    for seconds, size in jobs:
        if size == 1:
            heapq.heapreplace(free_s, free_s[0] + seconds)
            continue
        begin_s = max(heapq.heappop(free_s) for _ in range(size))
        for _ in range(size):
            heapq.heappush(free_s, begin_s + seconds)
    return max(free_s)
