"""A cell on two GPUs, small enough for two processes on this CPU, and a run of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run

TWO = Cell(
    model="LeNet",
    data="digits",
    precision=RECIPES["fp32"],
    batch_size=32,
    gpus=2,
    epochs=1,
    augment=(),
    num_threads=1,
)


def run_in(results: Path, cell: Cell, name: str = "x", **budget: Any) -> Run:
    """Return a run of a cell in an experiment's folder below `results`."""
    return Run(
        folder=results / name / "runs" / cell.run_folder,
        cell=cell,
        protocol=MeasurementProtocol(passes=("phases",)),
        budget=Budget(**budget),
        board=Board(board_id="cpu"),
        order=1,
        command="python bench/run_matrix.py x.toml",
    )
