"""Energy, clocks and invalid blocks, against numbers worked by hand, from traces of a board that is not there."""

from __future__ import annotations

from dataclasses import asdict

import pynvml
import pytest

from ampbench.bench.machine.clocks import (
    SLOWDOWNS,
    TAGS,
    median_sm_clock,
    tags,
    violation_ns,
    violation_share,
    why_each_invalid,
    why_invalid,
)
from ampbench.bench.machine.energy import energy_instrument, energy_j, energy_of, mean_power_w
from ampbench.bench.machine.summary import summary
from ampbench.bench.machine.windows import spans
from ampbench.schema.board import BoardSample, BoardState
from tests.support.replayed_nvml import (
    NO_PERMISSION,
    NOT_SUPPORTED,
    TIMEOUT,
    board,
    changed,
    lost,
    mig,
    replay,
    throttled,
)

SECOND = 20
"""Rows of a trace."""

POWER_CAP = pynvml.nvmlClocksEventReasonSwPowerCap
IDLE = pynvml.nvmlClocksEventReasonGpuIdle


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
    assert (energy.energy_j, energy.idle_j, energy.told_s) == pytest.approx((1000, 200, 2))
    assert energy_of(samples, [(0.5, 1.5), (2.0, 2.8), (3.0, 3.8)]) is None  # told for 1 s of 2.6


def test_violations_are_rises_of_their_counters_and_null_when_reset_or_absent() -> None:
    trace = [row | {"power_ns": 9_000_000_000 + i * 10_000_000} for i, row in enumerate(board(100))]
    samples = replay(trace)  # 10 ms of every 50 ms
    assert violation_ns(samples, "power", 1.0, 3.0) == pytest.approx(0.4e9)
    assert violation_share(samples, "power", [(1.0, 2.0), (2.0, 3.0)]) == pytest.approx(0.2)
    assert violation_share(samples, "thermal", [(1.0, 3.0)]) == 0
    assert violation_ns(replay(changed(trace, slice(50, None), power_ns=0)), "power", 1.0, 3.0) is None
    assert violation_ns(replay(board(100, power_ns=NO_PERMISSION)), "power", 1.0, 3.0) is None


def test_a_slowdown_makes_its_block_invalid_and_no_other() -> None:
    samples = replay(throttled(6 * SECOND, slice(45, 50)))
    blocks = [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    median = median_sm_clock(samples, blocks)
    assert median == 1755
    assert why_invalid(samples, 1.0, 2.0, median) is None
    assert why_invalid(samples, 2.0, 3.0, median) == (
        "hardware slowdown in 5 of 21 samples; hardware thermal slowdown in 5 of 21 samples"
    )
    assert [why is None for why in why_each_invalid(samples, blocks)] == [True, False, True]


@pytest.mark.parametrize(
    ("bit", "word"),
    [
        (pynvml.nvmlClocksEventReasonHwSlowdown, "hardware slowdown"),
        (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "software thermal slowdown"),
        (pynvml.nvmlClocksEventReasonHwThermalSlowdown, "hardware thermal slowdown"),
        (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, "hardware power brake"),
    ],
)
def test_each_slowdown_is_named_by_the_bit_that_nvml_gives_it(bit: int, word: str) -> None:
    samples = replay(changed(board(60), slice(30, 31), reasons=bit))
    assert why_invalid(samples, 1.0, 2.0, 1755) == f"{word} in 1 of 21 samples"


def test_every_bit_that_nvml_knows_is_a_slowdown_a_tag_or_idle() -> None:
    assert not SLOWDOWNS.keys() & TAGS.keys()
    assert sum(SLOWDOWNS) + sum(TAGS) + IDLE == (pynvml.nvmlClocksEventReasonAll | pynvml.nvmlClocksThrottleReasonAll)


def test_a_clock_under_nine_tenths_of_the_cells_own_is_invalid_without_any_reason_given() -> None:
    samples = replay(changed(board(100, reasons=NOT_SUPPORTED), slice(40, 61), sm_clock_mhz=1170))
    assert why_invalid(samples, 2.0, 3.0, 1755) == "SM clock 1,170 MHz, under 90 % of the cell's median 1,755 MHz"
    assert why_invalid(samples, 2.0, 3.0, 1300) is None  # 1170 is 90 % of it
    assert why_invalid(samples, 2.0, 3.0, None) is None


def test_a_software_power_cap_is_a_tag_and_idle_is_not_even_that() -> None:
    samples = replay(board(100, reasons=POWER_CAP | IDLE))
    assert why_invalid(samples, 1.0, 2.0, 1755) is None
    assert tags(samples, 1.0, 2.0) == ("software power cap",)
    assert tags(replay(board(100, reasons=IDLE)), 1.0, 2.0) == ()
    assert summary(samples, [(1.0, 2.0)], [1]).clock_tags == "software power cap"
    assert summary(replay(board(100, reasons=IDLE)), [(1.0, 2.0)], [1]).clock_tags == "none"


def test_a_summary_is_energy_per_image_over_the_blocks_that_count() -> None:
    idle = board(2 * SECOND, power_mw=100_000, sm_clock_mhz=345, processes=[])
    idle_end_mj = idle[-1]["energy_mj"] + 5_000
    work = throttled(8 * SECOND, slice(65, 70))  # within the second block
    trace = idle + [row | {"energy_mj": idle_end_mj + i * 25_000} for i, row in enumerate(work)]
    windows = [(4.0, 5.0), (5.0, 6.0), (6.0, 7.5)]
    state = summary(replay(trace), windows, [1000, 700, 1500], idle_window=(0.5, 1.5))
    assert asdict(state) == pytest.approx(
        {
            "sm_clock_mhz": 1755,
            "memory_clock_mhz": 3201,
            "temperature_c": 90,
            "power_w": 500,
            "energy_instrument": "energy_counter",
            "joules_per_image": 500 * 2.5 / 2500,
            "images_per_joule": 2.0,
            "idle_share": 0.2,
            "power_violation_share": 0,
            "thermal_violation_share": 0,
            "reliability_violation_share": 0,
            "num_invalid_blocks": 1,
            "clock_tags": "none",
            "foreign_processes": 0,
            "nvml_process_bytes": 10 * 2**30,
        }
    )


def test_a_board_that_answers_everything_leaves_no_column_of_its_state_empty() -> None:
    state = summary(replay(board(60)), [(1.5, 2.5)], [100], idle_window=(0.2, 1.3))
    assert [name for name, value in asdict(state).items() if value is None] == []


def test_what_a_slice_or_a_lost_board_does_not_tell_is_null() -> None:
    state = summary(replay(mig(100)), [(1.0, 3.0)], [100])
    assert state == BoardState(foreign_processes=0, nvml_process_bytes=10 * 2**30)
    half = summary(replay(lost(100, 40)), [(0.5, 1.5), (1.6, 4.0)], [100, 100])
    assert half.sm_clock_mhz == 1755
    assert half.power_w is None  # told for 1 s of 3.4
    assert summary([], [(1.0, 3.0)], [100]) == BoardState()
    assert summary(replay(board(60)), [], []) == BoardState()


def test_a_cell_that_throttles_throughout_has_no_energy_but_says_how_many_blocks() -> None:
    state = summary(replay(throttled(100, slice(None))), [(1.0, 2.0), (2.0, 3.0)], [100, 100])
    assert state.num_invalid_blocks == 2
    assert state.joules_per_image is None
