"""What a loss does with the images of a batch, a mean over them or a sum: found out by trying it on parts.

Cross-entropy is a mean; a loss of a model's own may be anything. Two things rest on it: how the losses of a batch's
parts add up to the batch's, and a loss on the test set that does not depend on how many images are evaluated at once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from ampbench.bench.train.outputs import sliced

Reduction = Literal["mean", "sum", "bound", "other"]
"""Bound: it reads what the model kept of the images that it saw last, and fails for parts of their outputs."""

CLOSE, CLOSE_16_BIT = 1e-5, 2e-2
"""Relative: the same sum in another order differs by less, in fp32 and in a 16-bit loss."""


@torch.no_grad()
def reduction_of(loss_fn: Callable[[Any, Tensor], Tensor], output: Any, y_N: Tensor) -> Reduction:
    """Find out what a loss is, mean, sum or neither of them, by cutting a batch in two at several places.

    Waits for the device.

    Raises:
        Exception: what the loss raises for the whole batch.
    """
    num_images = len(y_N)
    whole = slice(None)
    pairs = {
        cut: (slice(cut), slice(cut, None)) for cut in (1, num_images // 3, num_images // 2) if 0 < cut < num_images
    }

    def loss_of(part: slice) -> Tensor:
        return loss_fn(sliced(output, part, num_images), y_N[part])

    with torch.random.fork_rng([y_N.device] if y_N.device.type == "cuda" else []):  # a loss may draw
        found = loss_of(whole)
        try:
            with warnings.catch_warnings(action="ignore"):  # of parts that a training never computes
                parts = [(loss_of(a), loss_of(b)) for a, b in pairs.values()]
            total, losses = float(found), [(float(a), float(b)) for a, b in parts]
        except Exception:
            return "bound"
    if not math.isfinite(total):
        return "mean"  # such a training ends here
    close = CLOSE_16_BIT if found.dtype in (torch.float16, torch.bfloat16) else CLOSE
    near = partial(math.isclose, total, rel_tol=close, abs_tol=close / 100)
    if all(near((cut * a + (num_images - cut) * b) / num_images) for cut, (a, b) in zip(pairs, losses, strict=True)):
        return "mean"
    return "sum" if all(near(a + b) for a, b in losses) else "other"
