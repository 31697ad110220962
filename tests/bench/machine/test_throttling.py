"""What held the clocks down and which blocks do not count, from traces of a simulated board."""

from __future__ import annotations

import pynvml
import pytest

from ampbench.bench.machine.summary import summary
from ampbench.bench.machine.throttling import (
    SLOWDOWNS,
    TAGS,
    median_sm_clock,
    tags,
    violation_ns,
    violation_share,
    why_each_invalid,
    why_invalid,
)
from tests.support.replayed_nvml import NO_PERMISSION, NOT_SUPPORTED, board, changed, replay, throttled

SECOND = 20
"""Rows of a trace."""

POWER_CAP = pynvml.nvmlClocksEventReasonSwPowerCap
IDLE = pynvml.nvmlClocksEventReasonGpuIdle


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
