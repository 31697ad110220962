"""Adaptive rounds as a process: real cells, kill -9 in the middle, and the answer at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.whole.line import HEAD, records, rows_of, run, started, survivors, wait_until

pytestmark = pytest.mark.whole

TEXT = (
    HEAD
    + """
model = "LeNet"
batch_size = 32
epochs = 0
[matrix]
precision = ["fp32", "bf16_amp", "same"]
[precision.same]
weights = "fp32"
compute = "fp32"
[measure]
rounds = "adaptive"
max_timing_s = 0.3
max_warmup_s = 0.3
passes = []
"""
)


def test_adaptive_rounds_go_on_after_a_kill_and_end_in_an_answer(experiment_file: Callable[..., Path]) -> None:
    file = experiment_file(TEXT)
    with started(file) as launcher:
        wait_until(lambda: len(records(file)) > 6)  # the first look is behind it, or all is decided
        launcher.kill()
    wait_until(lambda: not survivors(file), 120)
    kept = records(file)
    result = run(file)
    assert result.returncode == 0, result.stdout + result.stderr
    assert kept.items() <= records(file).items(), "a finished cell was run again"
    num = Counter(row["precision"] for row in rows_of(file))
    assert num["fp32"] == max(num.values()) in (3, 4, 6, 8, 12)
    assert len(records(file)) == sum(num.values())
    assert "rounds: " in result.stdout
    for line in ("After ", "LeNet on "):
        assert line in result.stdout
    before = records(file)
    again = run(file)
    assert again.returncode == 0
    assert records(file) == before
    assert "After " not in again.stdout, "a finished experiment is not asked again"
