"""The notebook runs from top to bottom on the committed results, and every number in it is computed."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.visualize.notebook import figure
from ampbench.visualize.read.frame import read

ROOT = Path(__file__).parents[2]

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")


@pytest.fixture
def notebook():
    """Return demo.ipynb as committed."""
    return nbformat.read(ROOT / "demo.ipynb", as_version=4)


MAX_BYTES = 1_000_000


def shown(notebook) -> tuple[int, str, list]:
    """Return how many pictures, what text and which errors its outputs hold."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    return pictures, printed, [output for output in outputs if output.output_type == "error"]


def test_the_notebook_is_committed_with_what_it_shows(notebook):
    pictures, printed, errors = shown(notebook)
    assert pictures >= 5, "speed, accuracy, loss, memory, memory over steps"
    assert "Measured on" in printed
    assert not errors
    assert (ROOT / "demo.ipynb").stat().st_size < MAX_BYTES
    assert [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"] == list(
        range(1, 1 + sum(cell.cell_type == "code" for cell in notebook.cells))
    ), "run once, from top to bottom"


def test_the_demo_has_a_time_line_of_the_memory(notebook):
    cells = pq.read_table(ROOT / "results/demo/cells.parquet", columns=["cell_id", "precision", "status"]).to_pylist()
    traced = set(pq.read_table(ROOT / "results/demo/memory.parquet")["cell_id"].to_pylist())
    ran = {cell["precision"] for cell in cells if cell["status"] == "ok"}
    assert {cell["precision"] for cell in cells if cell["cell_id"] in traced} == ran
    drawn = next(cell for cell in notebook.cells if 'figure(results, "memory_timeline")' in cell.source)
    assert any("image/png" in output.get("data", {}) for output in drawn.outputs)


def test_no_number_is_typed_into_the_notebook(notebook):
    for cell in notebook.cells:
        if "bench/run_one.py" not in cell.source:  # its flags name a recipe and a model
            assert not re.search(r"\d", cell.source), cell.source


def test_the_notebook_is_short_and_defines_nothing(notebook):
    assert len(notebook.cells) <= 14
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) <= 5, cell.source
        assert not re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE), cell.source


def test_a_figure_without_results_is_one_sentence(capsys):
    results = read(ROOT / "results" / "demo")
    figure(results, "energy")
    assert capsys.readouterr().out == "Energy per image: these results hold nothing for it.\n"


def test_live_training_is_only_on_demand(notebook):
    [live] = [cell for cell in notebook.cells if "bench/run_one.py" in cell.source]
    assert "AMPBENCH_LIVE is not set." in "".join(output.text for output in live.outputs)


def test_the_notebook_runs_top_to_bottom_on_the_committed_results(notebook, monkeypatch):
    for name in ("AMPBENCH_RESULTS", "AMPBENCH_LIVE", "MPLBACKEND"):  # a report drawn before by this process sets it
        monkeypatch.delenv(name, raising=False)
    done = nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(ROOT)}}).execute()
    pictures, printed, errors = shown(done)
    assert pictures >= 5
    assert "Measured on" in printed
    assert not errors
