"""How many steps a start may have in the time that is left, and of which recipes."""

from __future__ import annotations

import pytest

from ampbench.bench.auto.advice.start import LEAST_STEPS, OVERHEAD_S, affordable
from ampbench.bench.auto.standings import Standing
from ampbench.schema.start import START_STEPS

FP32 = Standing(recipe="fp32", batch_size=100, status="ok", images_per_s=100.0, speed="reference")  # 1 s a step
BF16 = Standing(recipe="bf16", batch_size=100, status="ok", images_per_s=200.0, speedup=2.0, speed="faster")


@pytest.mark.parametrize("left_s", [0, 60, 300, 600, 3000])
def test_all_trainings_of_a_start_fit_into_the_time_that_is_left(left_s: float) -> None:
    seeds, num_steps = affordable([FP32, BF16], left_s=left_s)
    assert 0 <= num_steps <= START_STEPS
    assert len(seeds) * num_steps * 1.5 <= max(0, left_s - len(seeds) * 2 * OVERHEAD_S)


def test_there_are_three_seeds_where_they_fit_and_two_where_they_do_not() -> None:
    plenty = 3 * (400 * 1.5 + 2 * OVERHEAD_S)
    assert affordable([FP32, BF16], left_s=plenty) == ((1, 2, 3), 400)
    little = 2 * (LEAST_STEPS * 1.5 + 2 * OVERHEAD_S)
    assert affordable([FP32, BF16], left_s=little) == ((1, 2), LEAST_STEPS)


@pytest.mark.parametrize(
    ("speed", "speedup", "may_win"),
    [
        ("faster", 1.2, True),
        ("can't tell", 1.01, True),
        ("can't tell", 0.99, False),
        ("slower", 0.5, False),
        ("same", 1.0, False),
        ("reference", None, False),
        (None, None, False),
    ],
)
def test_a_recipe_may_win_unless_its_speed_speaks_against_it(
    speed: str | None, speedup: float | None, may_win: bool
) -> None:
    assert Standing(recipe="r", batch_size=1, status="ok", speed=speed, speedup=speedup).may_win == may_win
