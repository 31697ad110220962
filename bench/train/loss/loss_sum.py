"""The loss over a whole test set, summed over batches of whatever size."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ampbench.bench.train.loss.loss import LossFunction, own_loss_explained
from ampbench.bench.train.loss.reduction import Reduction, reduction_of
from ampbench.bench.train.outputs import joined, logits_of
from ampbench.bench.train.ranks import Ranks


class LossSum:
    """The loss over the whole test set, whatever the size of the batches it is computed in.

    A mean counts for as many images as it was taken over, a sum for itself. A loss that is neither (weighted by class,
    say) is taken once, over the outputs of all batches. Of ranks, each batch counts as a mean; and so it does where the
    loss is bound to the images that the model saw last, or fails for all at once (pairs of images may need too much
    memory).
    """

    def __init__(self, loss_fn: LossFunction, is_own: bool, ranks: Ranks, device: torch.device) -> None:
        self._loss_fn = partial(_own if is_own else _plain, loss_fn)
        self._reduction: Reduction | None = None if is_own else "mean"
        self._alone = ranks.world_size == 1
        self._sum = torch.zeros((), dtype=torch.float64, device=device)
        self._outputs: list[tuple[Any, Tensor]] = []

    def add(self, output: Any, y_B: Tensor) -> None:
        """Take in a batch. Only for a loss of the model's own the first one waits, to learn what kind it is."""
        if self._reduction is None:
            self._reduction = reduction_of(self._loss_fn, output, y_B)
        if self._reduction == "other" and self._alone:
            self._outputs.append((output, y_B))
            return
        loss = self._loss_fn(output, y_B).double().reshape(())
        self._sum += loss if self._reduction == "sum" else loss * len(y_B)

    def total(self) -> Tensor:
        """Return the sum over the images, a scalar in float64, on the device."""
        if not self._outputs:
            return self._sum
        y_N = torch.cat([y_B for _, y_B in self._outputs])
        whole = joined([output for output, _ in self._outputs], [len(y_B) for _, y_B in self._outputs])
        try:
            return self._loss_fn(whole, y_N).double().reshape(()) * len(y_N)
        except Exception:
            losses = [self._loss_fn(output, y_B).double().reshape(()) * len(y_B) for output, y_B in self._outputs]
            return torch.stack(losses).sum()


def _own(loss_fn: LossFunction, output: Any, y_N: Tensor) -> Tensor:
    with own_loss_explained(output, in_evaluation=True):
        return loss_fn(output, y_N)


def _plain(loss_fn: LossFunction, output: Any, y_N: Tensor) -> Tensor:
    return loss_fn(logits_of(output), y_N)
