"""The largest batch size that fits, by laws: memory that grows with the batch, predictions that may be wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampbench.bench.auto.largest_batch import Bracket, grid_step, next_size, on_grid

CEILING = 50_000


def search(
    fits: Callable[[int], bool], *, start: int = 16, floor: int = 1, ceiling: int = CEILING, **options: object
) -> dict[int, bool]:
    """Try sizes until the search ends; no size comes twice."""
    tried: dict[int, bool] = {}
    while (size := next_size(tried, start=start, floor=floor, ceiling=ceiling, **options)) is not None:  # type: ignore[arg-type]
        assert size not in tried, (size, tried)
        assert floor <= size <= ceiling
        tried[size] = fits(size)
    return tried


@given(
    most=st.integers(0, 2 * CEILING),
    guess=st.none() | st.integers(1, 2 * CEILING),
    start=st.sampled_from([1, 8, 16, 32]),
    ceiling=st.integers(1, CEILING),
)
@settings(max_examples=500, deadline=None)
def test_the_answer_fits_and_the_next_size_does_not(most: int, guess: int | None, start: int, ceiling: int) -> None:
    tried = search(lambda size: size <= most, start=start, ceiling=ceiling, guess=lambda: guess)
    known = Bracket.of(tried)
    if most < 1:
        assert not known.fits
        assert known.fails == 1
    elif most >= ceiling:
        assert known.fits == ceiling
    else:
        assert known.fits <= most
        assert most < known.fits + grid_step(known.fits)
    assert len(tried) <= 2 + 16 + 5  # down or up by doubling, then the gap within an octave


@given(most=st.integers(40, 20_000), error=st.floats(0.85, 1.15))
@settings(max_examples=200, deadline=None)
def test_a_prediction_within_15_per_cent_costs_at_most_seven_tries(most: int, error: float) -> None:
    guess = max(1, round(most * error))
    assert len(search(lambda size: size <= most, guess=lambda: guess)) <= 7


@given(most=st.integers(1, 5000), order=st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_search_that_was_interrupted_goes_on_to_the_same_answer(most: int, order: object) -> None:
    whole = search(lambda size: size <= most, guess=lambda: 700)
    half = dict(list(whole.items())[: len(whole) // 2])
    while (size := next_size(half, start=16, ceiling=CEILING, guess=lambda: 700)) is not None:
        assert size in whole
        half[size] = size <= most
    assert half == whole


def test_study_s4_doubles_from_32_to_2048_and_keeps_the_last_good_size() -> None:
    s4 = {"start": 32, "floor": 32, "ceiling": 2048, "refine": False}
    tried = search(lambda size: size <= 700, **s4)  # type: ignore[arg-type]
    assert tried == {32: True, 64: True, 128: True, 256: True, 512: True, 1024: False}
    assert list(search(lambda size: True, **s4))[-1] == 2048  # type: ignore[arg-type]
    assert search(lambda size: False, **s4) == {32: False}  # type: ignore[arg-type]


def test_a_finished_search_asks_for_no_prediction() -> None:
    def forbidden() -> int:
        raise AssertionError("a prediction costs seconds, and nothing is left to find")

    assert next_size({16: True, 17: False}, start=16, ceiling=CEILING, guess=forbidden) is None
    assert next_size({16: True, 100: True}, start=16, ceiling=100, guess=forbidden) is None
    assert next_size({1: False}, start=16, ceiling=CEILING, guess=forbidden) is None


def test_a_size_that_fitted_above_one_that_did_not_is_no_evidence() -> None:
    assert Bracket.of({16: True, 64: False, 80: True}) == Bracket(fits=16, fails=64)


@pytest.mark.parametrize(("size", "grid"), [(1, 1), (31, 31), (33, 32), (127, 124), (1000, 992), (1500, 1472)])
def test_sizes_are_round(size: int, grid: int) -> None:
    assert on_grid(size) == grid
    assert on_grid(grid) == grid
    assert grid_step(size) <= max(1, size / 16)
