"""The loss: cross-entropy, or the one that a model brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.bench.train.outputs import DOCUMENTED, described
from ampbench.bench.train.precision.dtype_limits import MIXED, own_line

LossFunction = Callable[[Any, Tensor], Tensor]
"""From what a model returns, or its logits, and labels (N,) to a scalar."""


def has_own_loss(model: nn.Module) -> bool:
    """Whether the model brings its loss."""
    return callable(getattr(model, "loss", None))


def loss_of(model: nn.Module, label_smoothing: float = 0.0) -> LossFunction:
    """Return the loss that a model brings, else cross-entropy: of logits (N, K), fp32, and labels (N,), a scalar.

    Smoothed (Szegedy et al., 2016, "Rethinking the Inception Architecture", section 7) for training only: the loss on
    the test set stays plain cross-entropy.

    Raises:
        ValueError: a loss of the model's own is to be smoothed.
    """
    if not has_own_loss(model):
        return partial(F.cross_entropy, label_smoothing=label_smoothing) if label_smoothing else F.cross_entropy
    if label_smoothing:
        raise ValueError(f"label_smoothing = {label_smoothing} is for cross-entropy; this model brings its own loss")
    own: LossFunction = model.loss  # type: ignore[assignment]
    return own


@contextmanager
def own_loss_explained(output: Any, *, in_evaluation: bool = False) -> Iterator[None]:
    """Context of a call of a model's own loss, in which its error says what the loss was given.

    Raises:
        ValueError: the loss failed, and not because memory, or an operator of a 16-bit dtype, is lacking.
    """
    try:
        yield
    except Exception as e:
        lack = "memory" in str(e) or (isinstance(e, NotImplementedError) and "'Long'" not in str(e))
        if lack:
            raise
        words = (str(e).strip().splitlines() or ["no message"])[0]
        line = f" ({line})" if (line := own_line(e)) else ""
        where = ", which may be another type than in training" if in_evaluation else ""
        cast = "; cast its weights and buffers to fp32 there" if MIXED.search(str(e)) else ""
        move = "; let the loss take what is returned in both, of any number of images" if in_evaluation else ""
        raise ValueError(
            f"its own loss(outputs, y_N) failed with what the model returned{where}: {described(output)}, in fp32, "
            f"and labels (N,): {type(e).__name__}: {words}{line}{cast}{move} ({DOCUMENTED})"
        ) from e
