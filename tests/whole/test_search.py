"""A search of 12 trials, killed with kill -9 in their middle, ends as the one that was left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.schema.search import read_search
from tests.whole.line import records, rows_of, run, started, survivors, wait_until

pytestmark = pytest.mark.whole

pytest.importorskip("optuna", reason="a search needs optuna, of requirements-dev.txt")

TEXT = """
question = "Which settings train LeNet best in two epochs?"
[fixed]
model = "LeNet"
data = "digits"
epochs = 2
precision = "fp32"
num_threads = 1
augment = []
[search]
trials = 12
finalists = 2
reruns = 2
[search.space]
learning_rate = {low = 0.001, high = 0.3, log = true}
batch_size = [32, 64]
momentum = {low = 0.5, high = 0.95}
"""


def test_a_search_killed_in_its_middle_goes_on_and_runs_each_trial_once(
    experiment_file: Callable[..., Path],
) -> None:
    file = experiment_file(TEXT, "killed.toml")
    kept: dict[Path, int] = {}
    for num_records in (5, 13):  # among the trials, and among the reruns
        with started(file) as launcher:
            wait_until(lambda n=num_records: len(records(file)) >= n)  # type: ignore[misc]
            launcher.kill()
        wait_until(lambda: not survivors(file), 120)
        now = records(file)
        assert kept.items() <= now.items(), "a finished trial was run again"
        kept = now
    result = run(file)
    assert result.returncode == 0, result.stdout + result.stderr
    assert kept.items() <= records(file).items()
    folder = file.parent / "results" / "killed"
    record = read_search(folder)
    assert record is not None
    assert [trial.number for trial in record.trials] == list(range(12))
    assert len({tuple(trial.values.items()) for trial in record.trials}) == 12
    rows = rows_of(file)
    assert len(rows) == len({row["cell_id"] for row in rows}) == 12 + 2 * 2
    assert {row["status"] for row in rows} <= {"ok", "pruned"}
    for row in rows:
        if row["status"] == "pruned":
            epochs = pq.read_table(folder / "runs" / row["run_folder"] / "epochs.parquet")
            assert epochs.num_rows == 1
            assert "is worse than" in row["because"]
    assert "train with learning_rate" in result.stdout
    assert (folder / "best.toml").exists()
    calm = experiment_file(TEXT, "calm.toml")
    assert run(calm).returncode == 0
    other = read_search(calm.parent / "results" / "calm")
    assert other is not None
    assert other.trials == record.trials
