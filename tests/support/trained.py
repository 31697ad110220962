"""Results that are really trained: the cells of an experiment, one after another in this process."""

from __future__ import annotations

from pathlib import Path

import torch

from ampbench.bench.machine.board import Board
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join
from ampbench.bench.store.run import Run
from ampbench.bench.worker.cell import measure_cell
from tests.support.results import plan_of


def trained(text: str, results: Path) -> Path:
    """Run the cells of an experiment's text to their records; return the folder of the joined tables."""
    plan = plan_of(text)
    folder, board, experiment = Folder.of(plan, results), Board(board_id="cpu"), plan.experiment
    for order, cell in enumerate(plan.cells):
        run = Run(
            folder=folder.run_path(cell),
            cell=cell,
            protocol=experiment.protocol,
            budget=experiment.budget,
            board=board,
            order=order,
            command="python bench/run_matrix.py trial.toml",
        )
        run.save()
        torch.set_num_threads(1)
        measure_cell(run, torch.device("cpu"), lambda **_: None, 0.0)
    join(plan, folder)
    return folder.path
