"""Models whose numbers become infinite or NaN in places that are easily missed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.habits.ending import Net


class NoFiniteGradient(Net):
    """The square root of zero has an infinite gradient, at any loss scale."""

    def __init__(self) -> None:
        super().__init__()
        self.penalty = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.penalty.weight)

    def forward(self, x_NCHW: Tensor) -> Any:
        ones = torch.ones(1, 1, device=x_NCHW.device, dtype=x_NCHW.dtype)
        return super().forward(x_NCHW) + self.penalty(ones).pow(2).sum().sqrt()


class _Burst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * float("inf")


class NoFiniteGradientAtTimes(Net):
    """Not finite in every second step."""

    num_calls = 0

    def forward(self, x_NCHW: Tensor) -> Any:
        self.num_calls += self.training
        logits = super().forward(x_NCHW)
        return _Burst.apply(logits) if self.num_calls % 2 else logits


class OverflowsBetween(Net):
    """Squares what it has, in no layer; the norm before it gets an infinite mask beside its input on purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.masked = Masked()

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        features = self.masked(features, torch.full_like(features, -torch.inf))
        return self.linear((features + 1e20) ** 2)


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return torch.maximum(x, mask)


class NanInEvaluation(Net):
    """A statistic that was never updated: 0 / 0, in evaluation only."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Identity()

    def forward(self, x_NCHW: Tensor) -> Any:
        if self.training:
            return super().forward(x_NCHW)
        return self.linear(self.scale(self.features(x_NCHW) * float("nan")))


class NanForOneImage(Net):
    """In evaluation the last image of a batch is NaN, and a loss of its own hides it."""

    def forward(self, x_NCHW: Tensor) -> Any:
        logits = super().forward(x_NCHW)
        if not self.training:
            logits[-1] = float("nan")
        return logits

    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits_NK.nan_to_num(), y_N)
