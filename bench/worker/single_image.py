"""Refuse a batch of one image for BatchNorm before the first update, not only at the end of the first epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ampbench.bench.plan.last_batch import fewest_images, one_image_because
from ampbench.bench.train.training import Training


@contextmanager
def refused_single_images(training: Training) -> Iterator[None]:
    """Context around a step: if an epoch has a batch of one image, it checks the inputs of every BatchNorm.

    Raises:
        ValueError: a BatchNorm would get one value per channel, which has no standard deviation.
    """
    num_images = len(training.images.train_y_N)
    with ExitStack() as hooks:
        if fewest_images(training.cell, num_images) == 1:
            said = one_image_because(training.cell, num_images)
            for name, module in training.model.named_modules():
                if isinstance(module, _BatchNorm):
                    refuse = partial(_refuse, f"{training.cell.model}: {name or 'the model'}: {said}")
                    hooks.callback(module.register_forward_pre_hook(refuse).remove)
        yield


def _refuse(said: str, module: nn.Module, inputs: Any) -> None:
    x = inputs[0] if inputs else None
    if module.training and isinstance(x, Tensor) and x.dim() > 1 and x.numel() == x.shape[0] * x.shape[1]:
        raise ValueError(said)
