"""The loss: cross-entropy, or the one that a model brings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

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
