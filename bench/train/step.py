"""The training step: the few lines that every number of this project is about."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from bench.train.evaluate import LossFunction


def train_step(
    model: nn.Module,
    x_NCHW: Tensor,
    y_N: Tensor,
    *,
    loss_fn: LossFunction,
    optimizer: Optimizer,
    autocast: torch.autocast,
    scaler: GradScaler,
) -> Tensor:
    """Update `model` on one batch; return the loss (scalar, fp32, still on the device).

    Nothing here waits for the GPU: no .item(), no print, no branch on a tensor. A wait would be billed to
    this step and hide the overlap that a recipe may owe its speed to. (A GradScaler over an unfused optimizer
    waits by itself, to learn whether to skip: that is part of such a recipe, and nothing adds to it.)

    The logits go to fp32 before the loss in every recipe, pure 16-bit ones included: study S3 left them in
    16 bit there, where the softmax of a confident network already rounds to 0 and 1.
    """
    optimizer.zero_grad(set_to_none=True)
    with autocast:
        logits_NK = model(x_NCHW)
    loss = loss_fn(logits_NK.float(), y_N)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()
