"""The exponential moving average of a network's weights, which is what is evaluated where a cell asks for one.

Polyak and Juditsky, 1992, "Acceleration of stochastic approximation by averaging"; with a decay as in Tarvainen and
Valpola, 2017, "Mean teachers", section 2. Kept in fp32 whatever the weights are: a step of 1 - decay is lost in 16 bit.
"""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor, nn


class Average(Protocol):
    """Follows a network and says what to evaluate."""

    def follow(self) -> None:
        """Take in the weights of the step just queued. Waits for nothing."""

    def model(self) -> nn.Module:
        """Return the network to evaluate."""

    def state_dict(self) -> list[Tensor]:
        """Return the averages."""

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Take them back."""


class NoAverage:
    """The network as it is."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def follow(self) -> None:
        """Do nothing."""

    def model(self) -> nn.Module:
        """Return the network itself."""
        return self._model

    def state_dict(self) -> list[Tensor]:
        """Return nothing."""
        return []

    def load_state_dict(self, state: list[Tensor]) -> None:
        """Take nothing."""


class MovingAverage:
    """Weights and BatchNorm's statistics, averaged after every step."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._copy = copy.deepcopy(model)
        self._followed, self._copied = (_floats(m) for m in (model, self._copy))
        self._counts = (_counts(model), _counts(self._copy))
        self._averages = [x.detach().float().clone() for x in self._followed]

    @torch.no_grad()
    def follow(self) -> None:
        """Move every average towards what it follows, by 1 - decay of the way."""
        torch._foreach_lerp_(self._averages, [x.detach().float() for x in self._followed], 1 - self.decay)

    @torch.no_grad()
    def model(self) -> nn.Module:
        """Return a copy of the network that has the averages, rounded to its dtype."""
        torch._foreach_copy_(self._copied, self._averages)
        for theirs, own in zip(*self._counts, strict=True):
            own.copy_(theirs)
        return self._copy

    def state_dict(self) -> list[Tensor]:
        """Return the averages, fp32; the live ones."""
        return self._averages

    @torch.no_grad()
    def load_state_dict(self, state: list[Tensor]) -> None:
        """Take them back."""
        torch._foreach_copy_(self._averages, state)


def _floats(model: nn.Module) -> list[Tensor]:
    return [x for x in (*model.parameters(), *model.buffers()) if x.is_floating_point()]


def _counts(model: nn.Module) -> list[Tensor]:
    return [x for x in model.buffers() if not x.is_floating_point()]
