"""The record's columns of the board, against numbers calculated by hand, from traces of a simulated board."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from ampbench.bench.machine.summary import summary
from ampbench.schema.board import BoardState
from tests.support.replayed_nvml import board, lost, mig, replay, throttled

SECOND = 20
"""Rows of a trace."""


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
    assert half.power_w is None  # known for 1 s of 3.4
    assert summary([], [(1.0, 3.0)], [100]) == BoardState()
    assert summary(replay(board(60)), [], []) == BoardState()


def test_a_cell_that_throttles_throughout_has_no_energy_but_says_how_many_blocks() -> None:
    state = summary(replay(throttled(100, slice(None))), [(1.0, 2.0), (2.0, 3.0)], [100, 100])
    assert state.num_invalid_blocks == 2
    assert state.joules_per_image is None
