"""The knee of the speed over the batch size, by laws of speed: rising to a plateau, falling, ending at a wall."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampbench.bench.auto.knee import knee, next_size

Law = Callable[[int], float | None]


def search(law: Law, *, ceiling: int = 50_000, **options: int) -> dict[int, float | None]:
    speeds: dict[int, float | None] = {}
    while (size := next_size(speeds, ceiling=ceiling, **options)) is not None:
        assert size not in speeds, (size, speeds)
        assert size <= ceiling
        speeds[size] = law(size)
    return speeds


def rising(half: float, *, wall: int = 10**9) -> Law:
    """A device that is half full at a batch of `half`, and has no memory from `wall` on."""
    return lambda size: 1000 * size / (size + half) if size < wall else None


def best_of(law: Law, ceiling: int) -> float:
    return max(speed for size in range(1, ceiling + 1) if (speed := law(size)) is not None)


@given(half=st.floats(0.1, 3000), wall=st.integers(17, 40_000), ceiling=st.integers(1, 20_000))
@settings(max_examples=300, deadline=None)
def test_the_knee_is_within_10_per_cent_of_a_full_sweep(half: float, wall: int, ceiling: int) -> None:
    law = rising(half, wall=wall)
    speeds = search(law, ceiling=ceiling)
    chosen = knee(speeds)
    assert chosen is not None
    assert (law(chosen) or 0) >= 0.9 * best_of(law, min(ceiling, wall - 1))
    assert len(speeds) <= math.log2(max(ceiling, 16) / 16) + 7


@pytest.mark.parametrize("half", [1, 10, 60, 300])
def test_with_noise_of_3_per_cent_it_is_within_10_per_cent_in_9_of_10_searches(half: float) -> None:
    law, shares = rising(half), []
    best = best_of(law, 50_000)
    for seed in range(200):
        draw = random.Random(seed)

        def noisy(size: int, draw: random.Random = draw) -> float | None:
            return (law(size) or 0) * math.exp(draw.gauss(0, 0.03))

        chosen = knee(search(noisy))
        assert chosen is not None
        shares.append((law(chosen) or 0) / best)
    assert sum(share >= 0.9 for share in shares) >= 180
    assert min(shares) > 0.8


def test_a_flat_curve_takes_the_smallest_size_and_few_timings() -> None:
    speeds = search(lambda size: 500.0)
    assert list(speeds) == [16, 32, 64]
    assert knee(speeds) == 16


def test_a_falling_curve_ends_the_search() -> None:
    speeds = search(lambda size: 1000 * size / 64 if size <= 64 else 1000 * 64 / size)
    assert max(speeds) == 256
    assert knee(speeds) == 64


def test_a_size_between_two_doublings_is_tried_where_it_may_be_enough() -> None:
    speeds = search(lambda size: float(min(size, 100)))
    assert 96 in speeds
    assert knee(speeds) == 96


def test_where_memory_ends_a_rising_curve_the_gap_is_tried() -> None:
    speeds = search(rising(500, wall=400))
    assert speeds[512] is None
    assert speeds[384] is not None
    assert knee(speeds) == 384


def test_where_the_first_size_does_not_fit_smaller_ones_are_tried_down_to_the_floor() -> None:
    assert knee(search(rising(1, wall=5))) == 4
    assert list(search(rising(1, wall=1))) == [16, 8, 4, 2, 1]
    assert knee(search(rising(1, wall=1))) is None
    assert list(search(rising(1, wall=1), floor=6)) == [16, 8, 6]


def test_the_ceiling_is_tried_and_never_passed() -> None:
    assert max(search(rising(5000), ceiling=1437)) == 1437
    assert list(search(rising(5000), ceiling=10)) == [10]
