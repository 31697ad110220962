"""A cell's network, as it is before the first step."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ampbench import models
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.model_args import as_arguments
from ampbench.bench.train.settings import settings_kept
from ampbench.bench.train.state.model_state import load_model_state, model_state
from ampbench.bench.train.state.random_state import read_generators, rewind_generators, seed_generators, seed_others

Start = Mapping[str, Any]
"""All that a network began with, and the random generators when it did."""


class Begun(NamedTuple):
    """A network that a training begins with."""

    model: nn.Module
    start: Start | None
    """What it began with; None where a second call of its factory builds it as it was."""
    changed: str | None
    """What its factory, or its import, had set for the whole process, and what is set back."""


def build_model(cell: Cell, num_classes: int) -> nn.Module:
    """Build a cell's network, with fresh weights from torch's present random state; the process's settings stay ours.

    Layers that take their shape from their first input see one, of zeros, here.

    Raises:
        ValueError: it does not fit the images.
    """
    with settings_kept():
        return _built(cell, num_classes)


def begin(cell: Cell, num_classes: int, device: torch.device, seed: int, start: Start | None) -> Begun:
    """Build a cell's network for a training, and seed all random generators, whatever the factory does to them.

    A factory may return the one network that it always does, which `NET = Net()` in its module holds: after a training
    that network is a trained one. A network made anew is held by nothing else.

    Args:
        cell: whose network it is.
        num_classes: K.
        device: of the training.
        seed: of the weights and of all that is drawn later.
        start: of an earlier training in this process, which is then given back to the network.
    """
    seed_generators(seed)
    with settings_kept() as changed:
        model, fresh = _built(cell, num_classes), nn.Module()
    if torch.initial_seed() != seed:
        changed.append(f"torch's seed {torch.initial_seed()}")
        torch.manual_seed(seed)
    seed_others(seed)
    said = "; ".join(changed) or None
    if start is not None:
        load_model_state(model, copy.deepcopy(start["model"]))
        rewind_generators(start["random"], device)
        for name, parameter in model.named_parameters():  # an earlier training's fp32 copies still follow it
            if parameter._post_accumulate_grad_hooks:
                parameter._post_accumulate_grad_hooks.clear()
                parameter._post_accumulate_grad_hooks.update(start["hooks"].get(name, {}))
        return Begun(model, start, said)
    if sys.getrefcount(model) <= sys.getrefcount(fresh):
        return Begun(model, None, said)
    hooks = {name: dict(p._post_accumulate_grad_hooks or {}) for name, p in model.named_parameters()}
    start = {"model": copy.deepcopy(model_state(model)), "random": read_generators(device), "hooks": hooks}
    return Begun(model, start, said)


def _built(cell: Cell, num_classes: int) -> nn.Module:
    shape = (3, cell.input_size, cell.input_size)
    model = models.build(cell.model, num_classes=num_classes, input_shape=shape, **as_arguments(cell.model_args))
    tensors = [*model.parameters(), *model.buffers()]
    if any(map(is_lazy, tensors)):
        device = next((x.device for x in tensors if not is_lazy(x)), None)
        model.eval()
        with torch.no_grad():
            model(torch.zeros(2, *shape, device=device, dtype=torch.get_default_dtype()))
    return model
