"""A cell's network, as it is before the first step."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import models
from bench.plan.cell import Cell
from bench.plan.model_args import as_arguments
from bench.train.model_state import load_model_state, model_state
from bench.train.random_state import read_generators, rewind_generators

Start = Mapping[str, Any]
"""All that a network began with, and the random generators when it did."""


def build_model(cell: Cell, num_classes: int) -> nn.Module:
    """Build a cell's network, with fresh weights from torch's present random state.

    Raises:
        ValueError: it does not fit the images.
    """
    shape = (3, cell.input_size, cell.input_size)
    return models.build(cell.model, num_classes=num_classes, input_shape=shape, **as_arguments(cell.model_args))


def begin(cell: Cell, num_classes: int, device: torch.device, start: Start | None) -> tuple[nn.Module, Start | None]:
    """Build a cell's network for a training; return its start, too, where nobody could build it as it was once more.

    A factory may return the one network that it always does, which `NET = Net()` in its module holds: after a training
    that network is a trained one. One made anew is held by nobody else.

    Args:
        cell: whose network it is.
        num_classes: K.
        device: of the training.
        start: of an earlier training in this process, which is then given back to the network.
    """
    model, fresh = build_model(cell, num_classes), nn.Module()
    if start is not None:
        load_model_state(model, copy.deepcopy(start["model"]))
        rewind_generators(start["random"], device)
        for name, parameter in model.named_parameters():  # an earlier training's fp32 copies still follow it
            if parameter._post_accumulate_grad_hooks:
                parameter._post_accumulate_grad_hooks.clear()
                parameter._post_accumulate_grad_hooks.update(start["hooks"].get(name, {}))
        return model, start
    if sys.getrefcount(model) <= sys.getrefcount(fresh):
        return model, None
    hooks = {name: dict(p._post_accumulate_grad_hooks or {}) for name, p in model.named_parameters()}
    return model, {
        "model": copy.deepcopy(model_state(model)),
        "random": read_generators(device),
        "hooks": hooks,
    }
