"""Where the user's own model failed, and what to do about errors that come from the rules of this harness."""

from __future__ import annotations

import re

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.packages import advice
from ampbench.bench.train.precision.dtype_limits import MIXED, own_line, raised_at
from ampbench.bench.worker.exception_text import first_line
from ampbench.bench.worker.layout import layout_advice

MOVES = {
    r"forward\(\) (missing \d+ required|takes \d+ positional|got some positional-only)": (
        "the model is called with the images alone, model(x): give all other arguments of forward a default, and let "
        "its own loss(outputs, y_N) have the labels"
    ),
    r"does not require grad": (
        "the loss depends on no weight: the model switched gradients off (torch.set_grad_enabled(False), no_grad()) or "
        "detached what it returned"
    ),
    r"backward through the graph a second time": (
        "the model keeps a tensor that was computed from weights in __init__ or in an earlier step: compute it anew in "
        "every forward, or keep x.detach()"
    ),
    r"modified by an inplace operation": (
        "an operation that overwrites its input (+=, relu_(), x[...] = …) destroyed what backward needs: write its "
        "result to a new tensor"
    ),
    r"Found no NVIDIA driver|not compiled with CUDA|No CUDA GPUs|invalid device ordinal": (
        "the model asks for a GPU by itself: leave .cuda() and device='cuda' out, as it is moved to the cell's board, "
        "and give new tensors device=x.device"
    ),
    r"not support sparse gradients": "let the model have dense gradients: sparse = False in its nn.Embedding",
    r"too many indices for tensor of dimension 4|'Tensor' object has no attribute": (
        "the model is called with the images alone, a tensor (N, 3, H, W)"
    ),
    MIXED.pattern: (
        "all weights and buffers are in the recipe's dtype, whatever the model made them, and are to meet numbers of "
        "that dtype: x.to(layer.weight.dtype)"
    ),
}
"""A pattern of what Python or torch says -> what to do about it."""


def described(error: BaseException, cell: Cell) -> str:
    """Say in a line what the error was, in which line of the user's code, and, where known, what to do."""
    complete = not isinstance(error, Exception) or isinstance(error, ValueError)  # or the user's own message
    line = raised_at(error) if isinstance(error, ValueError) else None if complete else own_line(error)
    where = f" ({line})" if line else ""
    moves = [] if complete else [move for pattern, move in MOVES.items() if re.search(pattern, str(error))]
    moves += [str(note).splitlines()[0] for note in getattr(error, "__notes__", []) if str(note)]
    return "; ".join((f"{type(error).__name__}: {first_line(error)}{where}", *moves)) + (
        advice(error) + layout_advice(error, cell)
    )
