"""Predict the memory of a cell's step without running it: two steps of fake tensors, which have only shapes.

    echo '[CELL, ...]' | python -m ampbench.bench.worker.passes.prediction      a line of JSON for each cell

The prediction orders and annotates cells. It skips none; only an observed out-of-memory error does.
"""

from __future__ import annotations

from ampbench.interruption import end_quietly

if __name__ == "__main__":
    end_quietly()  # whoever waits for the answers says what there is to say

import json
import os
import sys
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.hooks import RemovableHandle

from ampbench.bench.measure.shapes import on_shapes
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.loss_scale import LossScale
from ampbench.bench.train.loss.criterion import Criterion
from ampbench.bench.train.network import build_model
from ampbench.bench.train.optimizer import build_optimizer
from ampbench.bench.train.precision.islands import NARROW, layers_on_islands, make_islands, tensors_on_islands
from ampbench.bench.train.precision.master_weights import MasterWeights
from ampbench.bench.train.precision.precision import DTYPES, cast_real
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.step import step_of
from ampbench.path import step_aside

CPU = torch.device("cpu")
"""Fake tensors on a GPU would need its driver. Autocast has the same policy for matrix products on both."""

NUM_STEPS = 2
"""Adam's moments exist from the second step on."""


def predict_peak_bytes(cell: Cell, num_classes: int = 10) -> int:
    """Return the peak in bytes of weights, gradients, optimizer state, activations and temporaries together.

    It does not include the data set, the kernels' workspaces, the allocator's rounding and CUDA's own memory. A fused
    optimizer is predicted like one that updates weight by weight, since neither keeps copies; fp8 like bf16.

    Raises:
        RuntimeError, ValueError, NotImplementedError: the network cannot be run on shapes alone.
    """
    if cell.compile != "none":
        raise ValueError("compiled kernels keep other activations than the network without the compiler")
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[cell.precision.weights])  # a fake module cannot be cast
    try:
        with FakeTensorMode():
            model = build_model(cell, num_classes)
            model.train()  # a model's own train() may return nothing
            _widen_islands(make_islands(model, cell.precision.keep_fp32, DTYPES[cell.precision.weights]))
            return _predicted(model, cell, num_classes)
    except Exception:  # a network of several dtypes, or one that has to see its first images
        torch.set_default_dtype(before)
        with on_shapes(lambda: _cast(build_model(cell, num_classes), cell), partial(_see, cell)) as (model, _):
            return _predicted(model, cell, num_classes)
    finally:
        torch.set_default_dtype(before)


def _predicted(model: nn.Module, cell: Cell, num_classes: int) -> int:
    """Take two steps of a fake network, and return the peak in bytes."""
    recipe, dtype = cell.precision, DTYPES[cell.precision.weights]
    weights = [p for p in model.parameters() if p.requires_grad]
    master = MasterWeights(weights, recipe.rounding, CPU, cell.seed) if recipe.fp32_update else None
    optimizer = build_optimizer(master.parameters if master else weights, cell, checked=False)
    if master:
        master.follow(optimizer)
    x_NCHW = torch.empty(cell.batch_size, 3, cell.input_size, cell.input_size, dtype=dtype)
    y_N = torch.zeros(cell.batch_size, dtype=torch.int64)
    step, tracker = step_of(cell.accumulation), MemTracker()
    for weight in model.parameters():
        if not weight.requires_grad:  # else torch's tracker waits for a gradient that never comes
            none = RemovableHandle(OrderedDict())
            tracker._param_to_grad_hook_handles[weight] = (none, none)
    tracker.track_external(model, optimizer, x_NCHW, y_N)
    with tracker:
        for _ in range(NUM_STEPS):
            step(
                model,
                x_NCHW.detach(),  # a model may need its gradient
                y_N,
                loss_fn=Criterion(model, replace(cell, accumulation=1), num_classes),
                optimizer=optimizer,
                autocast=_autocast(cell),
                scaler=Scaler(LossScale(mode="none"), CPU),
            )
            tracker.reset_mod_stats()
    return int(tracker.get_tracker_snapshot("peak")[CPU]["Total"])


def _cast(model: nn.Module, cell: Cell) -> nn.Module:
    dtype = DTYPES[cell.precision.weights]
    make_islands(model, cell.precision.keep_fp32, dtype)
    cast_real(model, dtype, tensors_on_islands(model))
    return model


def _widen_islands(model: nn.Module) -> nn.Module:
    """Give the islands of a fake network fp32 weights for those that cannot be cast; tied ones stay tied."""
    made: dict[int, nn.Parameter] = {}
    for layer in layers_on_islands(model).values():
        for name, x in layer._parameters.items():
            if x is not None and x.dtype in NARROW:
                if id(x) not in made:
                    made[id(x)] = nn.Parameter(x.detach().float(), x.requires_grad)
                layer._parameters[name] = made[id(x)]
        for name, buffer in layer._buffers.items():
            if buffer is not None and buffer.dtype in NARROW:
                layer._buffers[name] = buffer.float()
    return model


def _see(cell: Cell, model: nn.Module) -> None:
    with _autocast(cell):
        model(torch.rand(2, 3, cell.input_size, cell.input_size, dtype=DTYPES[cell.precision.weights]))


def _autocast(cell: Cell) -> torch.autocast:
    return torch.autocast("cpu", dtype=DTYPES[cell.precision.compute], enabled=cell.precision.autocast)


def main() -> None:
    """Predict every cell that stdin lists. What a model prints, also from C, goes to stderr."""
    step_aside()
    cells = json.load(sys.stdin)
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for plain in cells:
        said: dict[str, Any]
        try:
            said = {"bytes": predict_peak_bytes(Cell.from_json(plain))}
        except (Exception, SystemExit) as e:  # the user's own network may raise anything
            said = {"because": f"{type(e).__name__}: {(str(e).strip().splitlines() or ['no message'])[0]}"}
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
