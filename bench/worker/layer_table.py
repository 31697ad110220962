"""A network layer by layer: the shape of each layer's output for one batch, and its number of parameters.

    echo '[CELL, ...]' | python -m ampbench.bench.worker.layer_table      a marked line of JSON for each cell

Nothing is computed if the network can be built on torch's meta device, whose tensors have only shapes; a network that
reads values is built and run on the CPU.
"""

from __future__ import annotations

from ampbench.interruption import end_quietly

if __name__ == "__main__":
    end_quietly()  # whoever waits for the answers says what there is to say

import json
import sys
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.network import build_model
from ampbench.path import step_aside

MARK = "ampbench layers: "
"""Before each line, because a network may print to the same stream."""

BATCH_SIZE = 2
"""BatchNorm cannot train on one image; shapes are shown with N instead of this."""


def layer_table(cell: Cell, num_classes: int) -> dict[str, Any]:
    """Return the layers that contain no others, in the order in which they first ran, and the number of parameters.

    Raises:
        Exception: any error of a network that runs neither on shapes alone nor on the CPU.
    """
    try:
        return _found(cell, num_classes, torch.device("meta"))
    except Exception:
        return _found(cell, num_classes, torch.device("cpu"))


def _found(cell: Cell, num_classes: int, device: torch.device) -> dict[str, Any]:
    layers: dict[str, dict[str, Any]] = {}
    with torch.no_grad(), torch.device(device), ExitStack() as hooks:
        model = build_model(cell, num_classes)
        model.train()  # a model's own train() may return nothing
        for name, module in model.named_modules():
            own = sum(p.numel() for p in module.parameters(recurse=False))
            if own or not any(True for _ in module.children()):
                handle = module.register_forward_hook(partial(_seen, layers, name or "(the model)", own))
                hooks.callback(handle.remove)
        model(torch.zeros(BATCH_SIZE, 3, cell.input_size, cell.input_size))
    parameters = list(model.parameters())
    return {
        "layers": list(layers.values()),
        "num_parameters": sum(p.numel() for p in parameters),
        "num_trainable": sum(p.numel() for p in parameters if p.requires_grad),
    }


def _seen(layers: dict[str, dict[str, Any]], name: str, own: int, module: nn.Module, _: Any, output: Any) -> None:
    if name not in layers:
        kind = type(module).__name__
        layers[name] = {"name": name, "type": kind, "shape": _shape(output), "num_parameters": own}


def _shape(output: Any) -> str:
    if isinstance(output, Tensor):
        sizes = ["N" if size == BATCH_SIZE and i == 0 else str(size) for i, size in enumerate(output.shape)]
        return f"({', '.join(sizes)})"
    if isinstance(output, (tuple, list)):
        return ", ".join(_shape(part) for part in output if part is not None)
    return type(output).__name__


def main() -> None:
    """Print the layers of every cell that stdin lists."""
    step_aside()
    for plain in json.load(sys.stdin):
        said: dict[str, Any]
        try:
            cell = Cell.from_json(plain)
            said = layer_table(cell, 100 if cell.data == "cifar100" else 10)
        except BaseException as e:  # the user's own network may raise anything
            said = {"because": f"{type(e).__name__}: {str(e).strip().splitlines()[0] if str(e) else ''}"}
        print(f"\n{MARK}{json.dumps(said)}", flush=True)


if __name__ == "__main__":
    main()
