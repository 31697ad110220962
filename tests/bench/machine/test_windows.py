"""The arithmetic of samples in windows of time, against numbers calculated by hand."""

from __future__ import annotations

import pytest

from ampbench.bench.machine.windows import (
    integral,
    largest,
    longest_standstill_s,
    median,
    points,
    rise,
    spans,
    sum_where_known,
    total_s,
    value_at,
    within,
    within_all,
)
from ampbench.schema.board import BoardSample

SAMPLES = [BoardSample(time_s=i / 10, power_w=None if i == 5 else 10.0 * i) for i in range(11)]


def times(samples: list[BoardSample]) -> list[float]:
    return [sample.time_s for sample in samples]


def test_a_sample_on_a_border_is_inside_and_comes_once_where_windows_touch() -> None:
    assert times(list(within(SAMPLES, 0.2, 0.4))) == [0.2, 0.3, 0.4]
    assert times(within_all(SAMPLES, [(0.2, 0.4), (0.4, 0.6), (0.9, 2.0)])) == [0.2, 0.3, 0.4, 0.5, 0.6, 0.9, 1.0]


def test_what_is_not_known_is_left_out_and_what_lies_around_a_window_is_there_for_its_borders() -> None:
    known = points(SAMPLES, lambda sample: sample.power_w, 0.6, 0.7)
    assert [time_s for time_s, _ in known] == [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_a_value_is_interpolated_between_its_neighbours_and_in_no_gap_and_not_beyond_the_ends() -> None:
    line = [(0.0, 0.0), (0.4, 4.0), (1.0, 10.0)]
    assert value_at(line, 0.1) == pytest.approx(1.0)
    assert [value_at(line, time_s) for time_s in (0.0, 0.4, 1.0)] == [0.0, 4.0, 10.0]
    assert [value_at(line, time_s) for time_s in (-0.1, 0.7, 1.1)] == [None, None, None]  # 0.4 to 1.0 is a gap


def test_a_rise_is_null_where_the_counter_went_backwards_and_an_area_where_there_is_a_gap() -> None:
    line = [(0.0, 0.0), (0.4, 4.0), (0.8, 8.0)]
    assert rise(line, 0.2, 0.6) == pytest.approx(4.0)
    assert integral(line, 0.2, 0.6) == pytest.approx(4.0 * 0.4)
    assert rise([(0.0, 0.0), (0.4, 4.0), (0.8, 3.0)], 0.1, 0.7) is None
    assert integral([(0.0, 0.0), (0.4, 4.0), (1.0, 4.0), (1.2, 4.0)], 0.2, 1.1) is None


def test_a_counter_stands_still_from_the_first_to_the_last_sample_of_one_value() -> None:
    assert longest_standstill_s([(0.0, 1.0), (0.1, 2.0), (0.2, 2.0), (0.4, 2.0), (0.5, 1.0)]) == pytest.approx(0.3)
    assert longest_standstill_s([]) == 0


def test_a_sum_needs_half_of_the_time_of_its_windows() -> None:
    windows = [(0.0, 1.0), (1.0, 2.0), (3.0, 5.0)]
    assert spans(windows) == [(0.0, 2.0), (3.0, 5.0)]
    assert total_s(windows) == 4.0
    assert sum_where_known(windows, lambda begin_s, end_s: 7.0 if begin_s else None) == (7.0, 2.0)
    assert sum_where_known([*windows, (6.0, 6.1)], lambda begin_s, _: 7.0 if begin_s == 3.0 else None) is None
    assert sum_where_known([], lambda *_: 1.0) is None


def test_nothing_known_has_no_median_and_no_largest() -> None:
    assert (median([3, None, 1, 2]), largest([1, None, 3])) == (2, 3)
    assert median([None]) is largest([None]) is median([]) is None
