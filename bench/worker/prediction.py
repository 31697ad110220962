"""How much memory a step of a cell will take, without taking it: two steps of fake tensors, which have only shapes.

    echo '[CELL, ...]' | python -m bench.worker.prediction      a line of JSON for each cell of `Cell.to_json()`

It orders and annotates cells. It skips none: only an observed out-of-memory does.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from bench.plan.cell import Cell
from bench.plan.recipe import LossScale
from bench.train.criterion import Criterion
from bench.train.master_weights import MasterWeights
from bench.train.network import build_model
from bench.train.optimizer import build_optimizer
from bench.train.precision import DTYPES, Scaler
from bench.train.step import step_of

CPU = torch.device("cpu")
"""Fake tensors of a GPU would need its driver. Autocast keeps the same policy for products on both."""

NUM_STEPS = 2
"""Adam's moments are there from the second step on."""


def predict_peak_bytes(cell: Cell, num_classes: int = 10) -> int:
    """Return the most bytes that weights, gradients, optimizer state, activations and temporaries take at once.

    Not in it: the data set, the kernels' workspaces, what the allocator rounds up and what CUDA itself takes. A
    fused optimizer is predicted as one that goes weight by weight, since neither keeps copies; fp8 as bf16.

    Raises:
        RuntimeError, ValueError, NotImplementedError: the network cannot be run on shapes alone.
    """
    if cell.compile != "none":
        raise ValueError("compiled kernels keep other activations than the network as written")
    recipe = cell.precision
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[recipe.weights])  # a fake module cannot be cast
    try:
        with FakeTensorMode():
            model = build_model(cell, num_classes)
            model.train()  # a model's own may return nothing
            weights = [p for p in model.parameters() if p.requires_grad]
            master = MasterWeights(weights, recipe.rounding, CPU, cell.seed) if recipe.fp32_update else None
            optimizer = build_optimizer(master.parameters if master else weights, cell, checked=False)
            if master:
                master.follow(optimizer)
            x_NCHW = torch.empty(cell.batch_size, 3, cell.input_size, cell.input_size)
            y_N = torch.zeros(cell.batch_size, dtype=torch.int64)
            step, tracker = step_of(cell.accumulation), MemTracker()
            tracker.track_external(model, optimizer, x_NCHW, y_N)
            with tracker:
                for _ in range(NUM_STEPS):
                    step(
                        model,
                        x_NCHW,
                        y_N,
                        loss_fn=Criterion(model, replace(cell, accumulation=1), num_classes),
                        optimizer=optimizer,
                        autocast=torch.autocast("cpu", dtype=DTYPES[recipe.compute], enabled=recipe.autocast),
                        scaler=Scaler(LossScale(mode="none"), CPU),
                    )
                    tracker.reset_mod_stats()
            return int(tracker.get_tracker_snapshot("peak")[CPU]["Total"])
    finally:
        torch.set_default_dtype(before)


def main() -> None:
    """Predict every cell that stdin lists."""
    for plain in json.load(sys.stdin):
        said: dict[str, Any]
        try:
            said = {"bytes": predict_peak_bytes(Cell.from_json(plain))}
        except Exception as e:  # of a network of one's own, anything
            said = {"because": f"{type(e).__name__}: {e}"}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
