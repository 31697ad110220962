"""The optimizer of a cell; known defects of torch's fused implementations are avoided or refused here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.precision.master_weights import MasterWeights
from ampbench.bench.train.statuses import Unsupported


class Updates(NamedTuple):
    """What updates a model: its weights, what stands for them in the optimizer, and the optimizer."""

    weights: dict[str, nn.Parameter]
    """What trains, by name, as the model holds it."""
    updated: dict[str, nn.Parameter]
    """What the optimizer updates, by the same names: the weights, or their fp32 copies."""
    master: MasterWeights | None
    """Keeps the fp32 copies; None where the weights themselves are updated."""
    optimizer: Optimizer


def updates_of(model: nn.Module, cell: Cell, device: torch.device) -> Updates:
    """Return what updates a model as its cell says.

    Raises:
        ValueError: it has no parameter that trains.
        Unsupported: torch's implementation does not update weights of this dtype on this device.
    """
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    master = None
    if cell.precision.fp32_update:
        master = MasterWeights(weights.values(), cell.precision.rounding, device, cell.seed)
    updated = dict(zip(weights, master.parameters if master else weights.values(), strict=True))
    optimizer = build_optimizer(updated.values(), cell)
    if master:
        master.follow(optimizer)
    return Updates(weights, updated, master, optimizer)


def build_optimizer(parameters: Iterable[nn.Parameter], cell: Cell, *, checked: bool = True) -> Optimizer:
    """Build the optimizer over the parameters that train.

    Unless `checked`, a fused one is built as one that goes weight by weight: fake tensors have no fused kernels. Nor
    have complex weights: they are a group of their own, updated by torch's foreach implementation.

    Raises:
        ValueError: there are none.
        Unsupported: torch's implementation does not update weights of this dtype on this device.
    """
    parameters = list(parameters)
    if not parameters:
        raise ValueError("the model has no parameter that trains; give it one, or time its inference elsewhere")
    if cell.optimizer_impl == "fused" and checked:
        require_working_fused(parameters, cell)
    real, whole = [p for p in parameters if not p.is_complex()], [p for p in parameters if p.is_complex()]
    optimizer = _optimizer(real, cell) if real else _optimizer(whole, replace(cell, optimizer_impl="foreach"))
    if real and whole:
        optimizer.add_param_group({"params": whole, "fused": False, "foreach": True})
    if not checked:
        for group in optimizer.param_groups:
            group["fused"] = False
    zero_momentum(optimizer)
    return optimizer


def zero_momentum(optimizer: Optimizer) -> None:
    """Give SGD its momentum buffers before the first step.

    Fused SGD allocates them uninitialised in its first step and relies on filling them there; a loss scaler
    that skips this very step leaves garbage for the second. From zeros the first step is bit-equal:
    0 * momentum + gradient.
    """
    if isinstance(optimizer, SGD) and optimizer.defaults["momentum"]:
        for group in optimizer.param_groups:
            for p in group["params"]:
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)


PROBE_SIZE = 1003
"""Entries, for vectors of any length and a rest."""


def require_working_fused(parameters: Iterable[nn.Parameter], cell: Cell) -> None:
    """Update one weight of each dtype and device once, and see whether all of it moved.

    Fused SGD on the CPU leaves 16-bit weights untouched, without a word, on torch up to 2.13: all but the few at the
    end that fill no vector, so the weight must be longer than one.
    """
    for dtype, device in {(p.dtype, p.device) for p in parameters if not p.is_complex()}:
        probe = nn.Parameter(torch.ones(PROBE_SIZE, dtype=dtype, device=device))
        probe.grad = torch.ones_like(probe)
        optimizer = _optimizer([probe], cell, learning_rate=0.5)
        optimizer.step()
        if bool((probe == 1).any()):
            raise Unsupported(
                f"fused {cell.optimizer} of torch {torch.__version__} does not update {dtype} weights on "
                f"{device.type}; use optimizer_impl = 'foreach' or a newer torch"
            )


def _optimizer(parameters: list[nn.Parameter], cell: Cell, learning_rate: float | None = None) -> Optimizer:
    impl = {cell.optimizer_impl: True}
    lr = cell.learning_rate if learning_rate is None else learning_rate
    if cell.optimizer in ("adam", "adamw"):
        kind = Adam if cell.optimizer == "adam" else AdamW
        return kind(parameters, lr=lr, weight_decay=cell.weight_decay, **impl)
    return SGD(
        parameters,
        lr=lr,
        momentum=cell.momentum,
        weight_decay=cell.weight_decay,
        nesterov=cell.optimizer == "nesterov",
        **impl,
    )
