"""The training step: the few lines that every number of this project is about."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from bench.train.clip import no_clip
from bench.train.evaluate import LossFunction
from bench.train.hits import not_counted
from bench.train.precision import Scaler

Clipping = Callable[[Optimizer, Scaler], None]
"""What is done to the gradients between backward and the update."""

Counting = Callable[[Tensor, Tensor], None]
"""What is counted of logits (N, K) and labels (N,), on the device."""


def train_step(
    model: nn.Module,
    x_NCHW: Tensor,
    y_N: Tensor,
    *,
    loss_fn: LossFunction,
    optimizer: Optimizer,
    autocast: torch.autocast,
    scaler: Scaler,
    clip: Clipping = no_clip,
    hits: Counting = not_counted,
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
    hits(logits_NK, y_N)
    scaler.scale(loss).backward()
    clip(optimizer, scaler)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


def step_of(num_parts: int) -> Callable[..., Tensor]:
    """Return the step that takes a batch in so many parts, or in fewer where it does not divide."""
    return train_step if num_parts == 1 else partial(train_step_in_parts, num_parts=num_parts)


def train_step_in_parts(
    model: nn.Module,
    x_NCHW: Tensor,
    y_N: Tensor,
    *,
    num_parts: int,
    loss_fn: LossFunction,
    optimizer: Optimizer,
    autocast: torch.autocast,
    scaler: Scaler,
    clip: Clipping = no_clip,
    hits: Counting = not_counted,
) -> Tensor:
    """Update `model` on one batch that is computed in parts, whose gradients add up; return the batch's loss.

    The same update as `train_step`'s within rounding, at the activations of a part; but BatchNorm sees each part alone.
    Ranks average their gradients once, in the last part.
    """
    optimizer.zero_grad(set_to_none=True)
    losses = []
    parts = list(zip(x_NCHW.chunk(num_parts), y_N.chunk(num_parts), strict=True))  # 12 in 5 parts are 4
    for x_PCHW, y_P in parts:
        with nullcontext() if len(losses) == len(parts) - 1 else _unsynced(model):
            with autocast:
                logits_PK = model(x_PCHW)
            loss = loss_fn(logits_PK.float(), y_P) * (len(y_P) / len(y_N))
            hits(logits_PK, y_P)
            scaler.scale(loss).backward()
        losses.append(loss.detach())
    clip(optimizer, scaler)
    scaler.step(optimizer)
    scaler.update()
    return torch.stack(losses).sum()


def _unsynced(model: nn.Module) -> AbstractContextManager[None]:
    shared = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    return shared.no_sync() if isinstance(shared, DistributedDataParallel) else nullcontext()
