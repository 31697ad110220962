"""The training step: the few lines that every number of this project is about."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ampbench.bench.train.clip import no_clip
from ampbench.bench.train.hits import not_counted
from ampbench.bench.train.loss.loss import LossFunction
from ampbench.bench.train.outputs import in_fp32
from ampbench.bench.train.precision.scaler import Scaler

Clipping = Callable[[Optimizer, Scaler], None]
"""What is done to the gradients between backward and the update."""

Counting = Callable[[Any, Tensor], None]
"""What is counted of what the model returned, in fp32, and labels (N,), on the device."""

Weighing = Callable[[int, int], float]
"""From the images of a part and of its batch to the factor on the part's loss; asked after the loss."""


class Step(NamedTuple):
    """A step that was just queued."""

    loss: Tensor
    """Scalar, fp32, on the device; of this rank's share of the batch."""
    num_images: int
    """In its batch, over all ranks: the last one of an epoch may be smaller."""
    tally_2: Tensor | None
    """Loss scale that it used and steps skipped up to it, on the device; None without a scaler."""
    correct: Tensor | None = None
    """Images of this epoch up to here that the network got right, of this rank, on the device; None if not known."""
    num_seen: int = 0
    """Images of this epoch up to here, of this rank."""


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
        output = model(x_NCHW)
    output = in_fp32(output)  # logits (N, K), or what holds them
    loss = loss_fn(output, y_N)
    hits(output, y_N)
    scaler.scale(loss).backward()
    clip(optimizer, scaler)
    scaler.step(optimizer)
    scaler.update()
    return loss.detach()


def step_of(num_parts: int, weight_of: Weighing | None = None) -> Callable[..., Tensor]:
    """Return the step that takes a batch in so many parts, or in fewer where it does not divide."""
    if num_parts == 1:
        return train_step
    return partial(train_step_in_parts, num_parts=num_parts, weight_of=weight_of or share_of_images)


def share_of_images(num_images: int, num_whole: int) -> float:
    """Weigh the loss of a part of a batch that is a mean over its images."""
    return num_images / num_whole


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
    weight_of: Weighing = share_of_images,
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
                output = model(x_PCHW)
            output = in_fp32(output)
            loss = loss_fn(output, y_P) * weight_of(len(y_P), len(y_N))
            hits(output, y_P)
            scaler.scale(loss).backward()
        losses.append(loss.detach())
    clip(optimizer, scaler)
    scaler.step(optimizer)
    scaler.update()
    return torch.stack(losses).sum()


def _unsynced(model: nn.Module) -> AbstractContextManager[None]:
    shared = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    return shared.no_sync() if isinstance(shared, DistributedDataParallel) else nullcontext()
