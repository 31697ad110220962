"""One training, ready to step: images, model, precision, optimizer and the three random states behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import models
from bench.plan.cell import Cell
from bench.train.augment import Augment, Normalize
from bench.train.evaluate import Evaluation, evaluate
from bench.train.images import Images
from bench.train.optimizer import build_optimizer
from bench.train.precision import cast_model, set_up_precision
from bench.train.schedule import learning_rate
from bench.train.step import train_step

MIN_EVALUATION_BATCH = 128
"""Evaluation keeps no activations, so a training batch smaller than this would only make it slow."""


class Step(NamedTuple):
    """A step that was just queued."""

    loss: Tensor
    """Scalar, fp32, on the device."""
    num_images: int
    """In its batch: the last one of an epoch may be smaller."""


class Training:
    """A cell's network and everything that updates it, on one device.

    The seed sets three generators apart: weights, order of the images, augmentation. Cells of a group thus
    start from the same weights and see the same images in the same order, whatever their precision.

    Raises:
        ValueError: the batch is larger than the training set, or the model does not fit the images.
        Unsupported: the device cannot do what the recipe asks.
    """

    def __init__(self, cell: Cell, images: Images, device: torch.device) -> None:
        self.cell = cell
        self.device = device
        if cell.batch_size > len(images.train_y_N):
            raise ValueError(
                f"batch_size = {cell.batch_size} is more than the {len(images.train_y_N)} training images; "
                "choose a smaller one"
            )
        self.precision = set_up_precision(cell, device)
        self.images = images.to(device)
        input_shape = (3, cell.image_size, cell.image_size)
        torch.manual_seed(cell.seed)
        model = models.build(cell.model, num_classes=images.num_classes, input_shape=input_shape)
        self.model: nn.Module = cast_model(model, cell, device).train()
        self.loss_fn = model.loss if callable(getattr(model, "loss", None)) else F.cross_entropy
        self.optimizer = build_optimizer(self.model, cell)
        self.normalize = Normalize(
            images.mean,
            images.std,
            dtype=self.precision.weights,
            memory_format=torch.channels_last if cell.channels_last else torch.contiguous_format,
            device=device,
        )
        # The order is drawn on the CPU, where the same seed gives the same permutation on every machine.
        self._order = torch.Generator().manual_seed(cell.seed)
        generator = torch.Generator(device).manual_seed(cell.seed)
        self._augment = Augment(cell.augment, self.normalize, generator)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training images."""
        full, rest = divmod(len(self.images.train_y_N), self.cell.batch_size)
        return full + (rest > 0 and not self.cell.drop_last)

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def steps(self, epoch: int) -> Iterator[Step]:
        """Train one epoch, step by step. `epoch` counts from 0."""
        pinned = self.device.type == "cuda"  # so that its copy waits for nothing: an epoch's border is on the clock
        order = torch.randperm(len(self.images.train_y_N), generator=self._order, pin_memory=pinned)
        order = order.to(self.device, non_blocking=True)
        for step in range(self.steps_per_epoch):
            rate = learning_rate(self.cell, epoch=epoch, step=step, steps_per_epoch=self.steps_per_epoch)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            chosen_N = order[step * self.cell.batch_size : (step + 1) * self.cell.batch_size]
            loss = train_step(
                self.model,
                self._augment(self.images.train_x_NCHW[chosen_N]),
                self.images.train_y_N[chosen_N],
                loss_fn=self.loss_fn,
                optimizer=self.optimizer,
                autocast=self.precision.autocast,
                scaler=self.precision.scaler,
            )
            yield Step(loss, len(chosen_N))

    def evaluate(self) -> Evaluation:
        """Evaluate on the whole test set, in the recipe's own precision."""
        return evaluate(
            self.model,
            self.images.test_x_NCHW,
            self.images.test_y_N,
            prepare=self.normalize,
            loss_fn=self.loss_fn,
            autocast=self.precision.autocast,
            batch_size=max(self.cell.batch_size, MIN_EVALUATION_BATCH),
            num_classes=self.images.num_classes,
        )
