"""A mistyped column is an error of the type checker, wherever it is written, and never a lost record."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ampbench.path import ROOT

PLANTED = """
from ampbench.schema.cells import CellRecord
from ampbench.schema.identity import Ending, Start
from ampbench.schema.speed import WallTime
from ampbench.schema.steps import StepRow

def of_a_worker(seconds: float) -> WallTime:
    return WallTime(passes_s=seconds, {worker}=seconds)

def of_a_step(loss: float) -> StepRow:
    return StepRow(step=1, epoch=1, loss=loss, num_images=64, {step}=1024.0)

def of_a_cell_that_was_never_started(because: str) -> CellRecord:
    return CellRecord(ending=Ending(status="unsupported", {launcher}=because), start=Start(order=1))
"""
RIGHT = {"worker": "train_s", "step": "loss_scale_factor", "launcher": "because"}
WRONG = {"worker": "passes_ms", "step": "loss_scale", "launcher": "reason"}


def complaints(tmp_path: Path, names: dict[str, str]) -> str:
    file = tmp_path / "planted.py"
    file.write_text(PLANTED.format(**names))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def test_the_type_checker_names_a_mistyped_column(tmp_path: Path) -> None:
    said = complaints(tmp_path, WRONG)
    for mistyped, group in (("passes_ms", "WallTime"), ("loss_scale", "StepRow"), ("reason", "Ending")):
        assert f'Unexpected keyword argument "{mistyped}" for "{group}"' in said
    assert "no issues found" in complaints(tmp_path, RIGHT)
