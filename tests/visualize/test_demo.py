"""The notebook: runs top to bottom on the committed results, and holds nothing that was not computed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")


@pytest.fixture
def notebook():
    """Return demo.ipynb as committed."""
    return nbformat.read(ROOT / "demo.ipynb", as_version=4)


def test_the_notebook_is_committed_without_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_no_number_is_typed_into_the_notebook(notebook):
    for cell in notebook.cells:
        assert not re.search(r"\d", cell.source), cell.source


def test_the_notebook_runs_top_to_bottom_on_the_committed_results(notebook, monkeypatch):
    monkeypatch.delenv("AMPBENCH_RESULTS", raising=False)
    done = nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "images/s" in printed
    assert "batch" in printed
    assert not [output for output in outputs if output.output_type == "error"]
