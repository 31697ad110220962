"""The notebook runs from top to bottom on the committed results, and every number in it is computed."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

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
    assert "images/s" in printed
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
    drawn = next(cell for cell in notebook.cells if 'figures.load("memory_timeline")' in cell.source)
    assert any("image/png" in output.get("data", {}) for output in drawn.outputs)


def test_no_number_is_typed_into_the_notebook(notebook):
    for cell in notebook.cells:
        assert not re.search(r"\d", cell.source), cell.source


def test_the_notebook_runs_top_to_bottom_on_the_committed_results(notebook, monkeypatch):
    monkeypatch.delenv("AMPBENCH_RESULTS", raising=False)
    done = nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(ROOT)}}).execute()
    pictures, printed, errors = shown(done)
    assert pictures >= 5
    assert "images/s" in printed
    assert "batch" in printed
    assert not errors
