"""Energy and power, against numbers calculated by hand, from traces of a simulated board."""

from __future__ import annotations

import pytest

from ampbench.bench.machine.energy import energy_instrument, energy_j, energy_of, mean_power_w
from ampbench.bench.machine.summary import summary
from ampbench.bench.machine.windows import spans
from ampbench.schema.board import BoardSample
from tests.support.replayed_nvml import NOT_SUPPORTED, TIMEOUT, board, changed, replay

SECOND = 20
"""Rows of a trace."""


def at(times_s: list[float], **columns: list[float]) -> list[BoardSample]:
    """Samples from columns."""
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return [BoardSample(time_s=t, **row) for t, row in zip(times_s, rows, strict=True)]  # type: ignore[arg-type]


def test_a_board_at_500_w_draws_500_j_a_second_by_its_counter() -> None:
    samples = replay(board(10 * SECOND))
    assert energy_instrument(samples) == "energy_counter"
    assert energy_j(samples, 1.0, 6.0) == pytest.approx(2500)
    assert mean_power_w(samples, 1.0, 6.0) == pytest.approx(500)


def test_a_border_between_two_samples_takes_its_share_of_the_step() -> None:
    samples = at([0, 0.4, 0.8, 1.2, 1.6, 2.0], energy_j=[100, 200, 300, 400, 900, 1300])
    assert energy_j(samples, 0.1, 1.5) == pytest.approx((400 + 500 * 3 / 4) - 125)


def test_without_a_counter_energy_is_the_area_under_power_and_says_so() -> None:
    times = [i / 20 for i in range(201)]
    ramp = at(times, power_w=[10 * t for t in times])
    assert energy_instrument(ramp) == "power_integral"
    assert energy_j(ramp, 0.0, 10.0) == pytest.approx(500)  # 0 to 100 W over 10 s
    assert energy_j(ramp, 2.02, 4.02) == pytest.approx(10 * (4.02**2 - 2.02**2) / 2)
    assert summary(replay(board(60, energy_mj=NOT_SUPPORTED)), [(0.5, 2.5)], [10]).energy_instrument == "power_integral"


def test_a_counter_that_stands_still_is_null_and_never_zero() -> None:
    stuck = replay(board(10 * SECOND, energy_mj=7_000_000))
    assert energy_j(stuck, 1.0, 6.0) is None
    assert energy_j(stuck, 1.0, 2.0) is None
    state = summary(stuck, [(1.0, 6.0)], [1000])
    assert state.joules_per_image is None
    assert state.power_w is None
    assert state.energy_instrument is None


def test_a_counter_that_stands_still_for_a_second_of_ten_is_null() -> None:
    trace = board(11 * SECOND)
    still = changed(trace, slice(100, 121), energy_mj=trace[100]["energy_mj"])
    assert energy_j(replay(still), 0.5, 10.0) is None
    slow = [row | {"energy_mj": trace[i - i % 2]["energy_mj"]} for i, row in enumerate(trace)]  # every 100 ms
    assert energy_j(replay(slow), 0.5, 10.0) == pytest.approx(0.5e3 * 9.5, rel=0.1 / 9.5)


def test_a_counter_that_starts_anew_is_null_in_that_window_only() -> None:
    trace = board(10 * SECOND)
    reset = [
        row | {"energy_mj": row["energy_mj"] - trace[100]["energy_mj"] * (i >= 100)} for i, row in enumerate(trace)
    ]
    samples = replay(reset)
    assert energy_j(samples, 4.0, 6.0) is None
    assert energy_j(samples, 1.0, 3.0) == pytest.approx(1000)
    assert energy_j(samples, 6.0, 8.0) == pytest.approx(1000)


@pytest.mark.parametrize("window", [(1.0, 1.9), (-1.0, 2.0), (8.0, 11.0)])
def test_a_window_too_short_or_beyond_the_samples_has_no_energy(window: tuple[float, float]) -> None:
    assert energy_j(replay(board(10 * SECOND)), *window) is None
    assert energy_j(replay(board(10 * SECOND, energy_mj=NOT_SUPPORTED)), *window) is None


def test_nothing_is_integrated_or_interpolated_across_a_gap() -> None:
    counter = board(10 * SECOND)
    assert energy_j(replay(changed(counter, slice(90, 110), energy_mj=TIMEOUT)), 1.0, 9.0) == pytest.approx(4000)
    assert energy_j(replay(changed(counter, slice(90, 110), energy_mj=TIMEOUT)), 1.0, 5.0) is None
    assert energy_j(replay(changed(counter, slice(99, 101), energy_mj=TIMEOUT)), 1.0, 5.0) == pytest.approx(2000)
    no_counter = board(10 * SECOND, energy_mj=NOT_SUPPORTED)
    assert energy_j(replay(changed(no_counter, slice(90, 110), power_mw=TIMEOUT)), 1.0, 9.0) is None


def test_blocks_that_touch_are_one_span_so_that_short_ones_have_an_energy() -> None:
    blocks = [(0.5 + i / 4, 0.75 + i / 4) for i in range(8)]
    assert spans(blocks) == [(0.5, 2.5)]
    assert spans([*blocks, (3.0, 3.25)]) == [(0.5, 2.5), (3.0, 3.25)]
    samples = replay(board(5 * SECOND))
    energy = energy_of(samples, [*blocks, (3.0, 3.25)], idle_power_w=100)
    assert energy is not None
    assert (energy.energy_j, energy.idle_j, energy.known_s) == pytest.approx((1000, 200, 2))
    assert energy_of(samples, [(0.5, 1.5), (2.0, 2.8), (3.0, 3.8)]) is None  # known for 1 s of 2.6
