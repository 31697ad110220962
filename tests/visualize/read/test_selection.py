"""A report of some of the cells: what is selected, what is refused, and where it is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ampbench.visualize import figures
from ampbench.visualize.read.files import ResultsError
from ampbench.visualize.read.frame import read
from ampbench.visualize.report import write_report

DEMO = Path(__file__).parents[3] / "results" / "demo"


def test_conditions_select_cells_and_the_plan_is_that_of_the_selected() -> None:
    everything, some = read(DEMO), read(DEMO, only=["precision=fp32,bf16", "seed=0,1"])
    assert set(some.cells["precision"]) == {"fp32", "bf16"}
    assert len(some.cells) == 4 < len(everything.cells)
    assert len(some.plan.cell_ids) == 4
    assert set(some.epochs["cell_id"]) <= set(some.cells["cell_id"])


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("precision", "write column=value"),
        ("precison=fp32", "unknown column 'precison'. Did you mean 'precision'"),
        ("precision=fp8", "no cell has it; precision is fp32, "),
        ("images_per_s=3", "unknown column 'images_per_s'"),
    ],
)
def test_a_condition_that_selects_nothing_is_one_line(condition: str, said: str) -> None:
    with pytest.raises(ResultsError) as caught:
        read(DEMO, only=[condition])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_selections_report_leaves_that_of_the_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "NAMES", ("throughput",))
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    (folder / "summary.txt").write_text("of all cells")
    page = write_report(folder, only=["precision=fp32,bf16"])
    assert page == folder / "selected" / "report.html"
    assert "bf16_amp" not in (page.parent / "summary.txt").read_text().partition("Question")[0]
    assert (folder / "summary.txt").read_text() == "of all cells"
    assert write_report(folder, save_dir=tmp_path / "elsewhere") == tmp_path / "elsewhere" / "report.html"
