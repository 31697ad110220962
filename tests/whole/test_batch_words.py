"""`batch_size = "max"` for real: cells that run out of memory, the numbers that are found, and what a kill leaves."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.schema.choices import read_choices
from tests.whole.line import rows_of, run, started, survivors, wait_until

Write = Callable[..., Path]

pytestmark = pytest.mark.whole

TEXT = """
question = "Which batch fits?"
[matrix]
precision = ["fp32", "bf16_amp"]
[fixed]
model = "SmallCifarNet"
data = "synthetic"
batch_size = "max"
num_threads = 1
augment = []
[measure]
max_timing_s = 0.5
max_warmup_s = 0.5
passes = []
[budget]
memory_gib_per_cell = 1
"""


def test_after_a_kill_no_trial_is_repeated_and_the_largest_batch_fits_while_the_next_does_not(
    experiment_file: Write,
) -> None:
    file = experiment_file(TEXT)
    folder = file.parent / "results" / file.stem
    trials = folder / "batch_1_gib" / "runs"

    def finished() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in trials.glob("*/record.parquet")}

    with started(file) as process:
        wait_until(lambda: len(finished()) >= 3)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not survivors(file))
    before = finished()
    result = run(file)
    assert result.returncode == 0, result.stdout + result.stderr
    assert before.items() <= finished().items()
    tried = [pq.read_table(path, columns=["batch_size", "precision", "status"]).to_pylist()[0] for path in finished()]
    chosen = {row["precision"]: row["batch_size"] for row in rows_of(file) if row["status"] == "ok"}
    assert chosen.keys() == {"fp32", "bf16_amp"}, rows_of(file)
    for precision, size in chosen.items():
        own = {row["batch_size"]: row["status"] for row in tried if row["precision"] == precision}
        assert own[size] == "ok"
        wall = min(other for other, status in own.items() if status == "oom")
        assert size < wall <= size + max(1, size // 16)
    assert chosen["bf16_amp"] > chosen["fp32"]
    assert {choice.subject: choice.value for choice in read_choices(folder)} == chosen
    assert 'batch_size = "max"' in result.stdout or before
    again = run(file)
    assert again.returncode == 0
    assert f"batch_size of fp32: {chosen['fp32']}" in again.stdout
