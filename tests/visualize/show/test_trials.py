"""The report of a search speaks of its trials, and judges no matrix of recipes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from ampbench.bench.auto.search.session import run_search
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.visualize.report import write_report
from tests.support.searched import Made

pytestmark = pytest.mark.whole

TEXT = """
question = "Q?"
[matrix]
precision = ["fp32", "bf16_amp"]
[fixed]
model = "LeNet"
data = "synthetic"
epochs = 3
[search]
trials = 7
pruner = "none"
[search.space]
learning_rate = {low = 0.01, high = 0.3, log = true}
batch_size = [64, 128, 256]
"""


def test_the_page_of_a_search_has_its_trials_and_figures_and_no_verdict_on_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="a search needs optuna, of requirements-dev.txt")
    monkeypatch.setattr("ampbench.bench.launch.sweep.print_report", lambda *_, **__: None)

    def accuracy(cell: Cell, epoch: int) -> float:
        return 0.5 + cell.learning_rate + 0.01 * cell.seed

    options = Options(launcher=Made(accuracy), results=tmp_path)
    run_search(parse_experiment(Path("made.toml"), TEXT), options, Console(file=io.StringIO()))
    page = write_report(tmp_path / "made").read_text()
    words = (tmp_path / "made" / "summary.txt").read_text()
    for text in (page, words):
        assert "train with learning_rate" in text
        assert "stay with" not in text
    assert "Every trial of the search" in page
    assert "Every recipe, side by side" not in page
    drawn = {path.stem for path in (tmp_path / "made" / "figures").glob("*.png")}
    assert drawn == {"importance", "parallel_coordinates"}
