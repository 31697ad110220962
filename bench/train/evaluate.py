"""Accuracy, loss and macro metrics over exactly the test set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.train.ranks import ALONE, Ranks

LossFunction = Callable[[Tensor, Tensor], Tensor]

Told = Callable[[float], None]
"""Hears which share of the test set's batches has been queued."""


def nobody(_share: float) -> None:
    """Hear nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Shares in [0, 1] over the test set; macro = unweighted mean over the classes."""

    test_accuracy: float
    test_loss: float
    macro_precision: float
    macro_recall: float
    macro_f1: float


def loss_of(model: nn.Module, label_smoothing: float = 0.0) -> LossFunction:
    """Return the loss that a model brings, else cross-entropy: of logits (N, K), fp32, and labels (N,), a scalar.

    Smoothed (Szegedy et al., 2016, "Rethinking the Inception Architecture", section 7) for training only: the loss on
    the test set stays plain cross-entropy.

    Raises:
        ValueError: a loss of the model's own is to be smoothed.
    """
    own = getattr(model, "loss", None)
    if not callable(own):
        return partial(F.cross_entropy, label_smoothing=label_smoothing) if label_smoothing else F.cross_entropy
    if label_smoothing:
        raise ValueError(f"label_smoothing = {label_smoothing} is for cross-entropy; this model brings its own loss")
    return own


@torch.no_grad()
def evaluate(
    model: nn.Module,
    x_NCHW: Tensor,
    y_N: Tensor,
    *,
    prepare: Callable[[Tensor], Tensor],
    loss_fn: LossFunction,
    autocast: torch.autocast,
    batch_size: int,
    num_classes: int,
    ranks: Ranks = ALONE,
    told: Told = nobody,
) -> Evaluation:
    """Evaluate in the recipe's own precision; `prepare` turns uint8 pixels into the model's input.

    The confusion matrix and the loss stay on the device until the end: one wait an evaluation. Ranks take the images
    in turns, each image once, with the running statistics of rank 0, and add up what they counted.
    """
    was_training = model.training
    model.eval()
    ranks.share_buffers(model)
    share = slice(ranks.rank, None, ranks.world_size)
    num_images, x_NCHW, y_N = len(y_N), x_NCHW[share], y_N[share]
    num_queued = 0
    confusion_KK = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=x_NCHW.device)
    loss_sum = torch.zeros((), dtype=torch.float64, device=x_NCHW.device)
    for x_BCHW, y_B in zip(x_NCHW.split(batch_size), y_N.split(batch_size), strict=True):
        with autocast:
            logits_BK = model(prepare(x_BCHW))
        logits_BK = logits_BK.float()
        loss_sum += loss_fn(logits_BK, y_B).double() * len(y_B)
        confusion_KK += torch.bincount(y_B * num_classes + logits_BK.argmax(1), minlength=num_classes**2)
        num_queued += len(y_B)
        told(num_queued / len(y_N))
    model.train(was_training)
    ranks.add_up((confusion_KK, loss_sum))
    return from_confusion(confusion_KK.view(num_classes, num_classes).cpu(), float(loss_sum) / num_images)


def from_confusion(confusion_KK: Tensor, test_loss: float) -> Evaluation:
    """Turn counts (true class, predicted class) into shares; 0 / 0 is 0, as in scikit-learn's zero_division=0."""
    counts = confusion_KK.double()
    hits_K = counts.diagonal()
    precision_K = hits_K / counts.sum(0).clamp(min=1)
    recall_K = hits_K / counts.sum(1).clamp(min=1)
    f1_K = 2 * precision_K * recall_K / (precision_K + recall_K).clamp(min=1e-300)
    return Evaluation(
        test_accuracy=float(hits_K.sum() / counts.sum()),
        test_loss=test_loss,
        macro_precision=float(precision_K.mean()),
        macro_recall=float(recall_K.mean()),
        macro_f1=float(f1_K.mean()),
    )
