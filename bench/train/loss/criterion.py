"""The loss that a training minimises. Its first call checks that the model's output and the labels fit."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.loss.loss import has_own_loss, loss_of, own_loss_explained
from ampbench.bench.train.loss.reduction import Reduction, reduction_of
from ampbench.bench.train.outputs import DOCUMENTED, check_output, has_own_classes, logits_of, predicted_classes
from ampbench.bench.train.unregistered import said_of, unregistered_weights


class Criterion:
    """From what the model returns, in fp32 and otherwise as it is, and labels (N,) to a loss: a scalar.

    A loss of the model's own gets all of it, cross-entropy the logits. The first call compares shapes and dtypes with
    the labels.

    Raises:
        ValueError: at the first call; what the model or its loss returns does not fit, or its loss cannot be taken
            in parts.
    """

    def __init__(self, model: nn.Module, cell: Cell, num_classes: int, world_size: int = 1) -> None:
        self.model = model
        self.name = cell.model
        self.num_classes = num_classes
        self.num_parts = cell.accumulation
        self.world_size = world_size
        self.loss_fn = loss_of(model, cell.label_smoothing)
        self.is_own = has_own_loss(model)
        self.reduction: Reduction = "mean"
        """Of a loss of the model's own it is tried in the first call, where a batch is computed in parts."""
        self.taken: str | None = None
        """What was taken of the model's output; None of a plain tensor."""
        self.unregistered: str | None = None
        """Which weights the model uses and does not register, in words; None if there are none."""
        self._is_checked = False

    def __call__(self, output: Any, y_N: Tensor) -> Tensor:
        """Return the loss of some images."""
        if self._is_checked:
            return self._loss(output, y_N)
        try:
            own = self.is_own and has_own_classes(self.model)
            self.taken = check_output(output, y_N, self.num_classes, is_read_by_model=own)
            if own:
                predicted_classes(self.model, output, len(y_N))
            if self.is_own and self.num_parts * self.world_size > 1:
                self.reduction = self._tried(output, y_N)
            loss = self._first_loss(output, y_N)
            self.unregistered = said_of(unregistered_weights(loss, self.model), self.name)
        except ValueError as e:
            raise ValueError(f"{self.name}: {e}") from e
        self._is_checked = True
        return loss

    def weight_of(self, num_images: int, num_whole: int) -> float:
        """Return the factor on the loss of a part of a batch with which the parts add up to the batch's loss."""
        return num_images / num_whole if self.reduction == "mean" else 1.0

    def _loss(self, output: Any, y_N: Tensor) -> Tensor:
        loss = self.loss_fn(output if self.is_own else logits_of(output), y_N)
        return loss.reshape(()) if isinstance(loss, Tensor) and loss.numel() == 1 else loss

    def _first_loss(self, output: Any, y_N: Tensor) -> Tensor:
        with own_loss_explained(output) if self.is_own else nullcontext():
            loss = self._loss(output, y_N)
        _check_loss(loss)
        return loss

    @torch.no_grad()
    def _tried(self, output: Any, y_N: Tensor) -> Reduction:
        """Try the model's own loss on parts; the buffers that it may move stay as they are."""
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        reduction = reduction_of(self._first_loss, output, y_N)
        for buffer, before in buffers:
            if not torch.equal(buffer, before):
                buffer.copy_(before)
        if reduction == "bound" and self.num_parts > 1:
            raise ValueError(
                "its own loss fails for a part of what the model returned, as one that reads what the model kept of "
                f"its last images; how the {self.num_parts} parts add up is not known: use accumulation = 1, or "
                "let the model return all that its loss needs"
            )
        if reduction == "other" and self.num_parts > 1:
            raise ValueError(
                f"its own loss is neither a mean nor a sum over the images, so the losses of {self.num_parts} parts "
                "do not add up to the batch's: use accumulation = 1, or a loss that is one of them (weighted by "
                "class, divide it by the number of images)"
            )
        if reduction == "sum" and self.world_size > 1:
            raise ValueError(
                f"its own loss is a sum over the images, and {self.world_size} GPUs average their gradients: divide "
                "it by the number of images, or use gpus = 1"
            )
        return reduction


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, Tensor):
        raise ValueError(f"its own loss returns {type(loss).__name__}, and a tensor that is a scalar is wanted")
    if loss.dim():
        raise ValueError(
            f"its own loss is of shape {tuple(loss.shape)}, and a scalar is wanted: take the mean over the images "
            f"({DOCUMENTED})"
        )
    if not loss.is_floating_point():
        raise ValueError(f"its own loss is {loss.dtype}, and a real floating-point number is wanted")
    if torch.is_grad_enabled() and not loss.requires_grad:
        raise ValueError("no weight has a gradient from its own loss: compute it without detach(), item(), no_grad()")
