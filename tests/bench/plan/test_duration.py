"""Durations in a sentence and on a clock."""

from __future__ import annotations

import pytest

from ampbench.bench.plan.duration import as_clock, in_words


@pytest.mark.parametrize(
    ("seconds", "words", "clock"),
    [
        (0.4, "0 min 00 s", "0:00:00"),
        (59.6, "1 min 00 s", "0:01:00"),
        (185, "3 min 05 s", "0:03:05"),
        (3900, "1 h 05 min", "1:05:00"),
        (100_000, "27 h 46 min", "27:46:40"),
    ],
)
def test_a_duration_is_read_in_hours_minutes_and_seconds(seconds: float, words: str, clock: str) -> None:
    assert (in_words(seconds), as_clock(seconds)) == (words, clock)
