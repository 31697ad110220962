"""Which records a command leaves as they are, as its plan says it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ampbench.bench.launch.ended_rows import write_ended
from ampbench.bench.launch.groups import groups_of
from ampbench.bench.launch.kept import kept
from ampbench.bench.launch.shown.preview import dry_run
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.provenance import provenance
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.store.folder import Folder

BOARD = Board(board_id="cpu")

TEXT = """
question = "Q?"
[matrix]
precision = ["fp32", "bf16_amp", "bf16"]
[fixed]
model = "LeNet"
data = "digits"
batch_size = 64
epochs = 1
"""


def test_a_plan_shows_a_cell_that_again_names_as_one_that_runs(tmp_path: Path) -> None:
    plan = make_plan(parse_experiment(tmp_path / "trial.toml", TEXT))
    folder = Folder.of(plan, tmp_path)
    ok, failed, _ = (cell.cell_id for cell in plan.cells)
    [runs] = groups_of(plan, plan.cells, folder, BOARD, command="", again=False)
    for run, status in zip(runs, ("ok", "failed"), strict=False):
        write_ended(replace(run, board=BOARD), status, "", provenance(BOARD))
    assert kept(plan.cells, folder, ()) == {ok, failed}
    assert kept(plan.cells, folder, ("failed", "oom")) == {ok}
    assert kept(plan.cells, folder, ("ok", "failed")) == set()
    shown = "\n".join(dry_run(plan, plan.cells, tmp_path, gpus=None, again=("failed",)))
    assert "fp32+ bf16_amp bf16\n" in shown
    assert "To run: 2 cells" in shown
    with pytest.raises(RequestError, match=r"^--again fail: no such status\. Did you mean 'failed'\?"):
        kept(plan.cells, folder, ("fail",))
