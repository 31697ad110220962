"""Losses that a model has of its own, and the outputs that they get."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.habits.ending import Net


class LogProbabilities(Net):
    """Its own loss is of log-probabilities, as in torch's oldest examples."""

    def forward(self, x_NCHW: Tensor) -> Any:
        return F.log_softmax(super().forward(x_NCHW), dim=1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(output, target)


class SquaredError(Net):
    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        return F.mse_loss(output, F.one_hot(y_N, 10).to(output.dtype))


class DeepSupervision(Net):
    """A list of heads, the last of which counts in evaluation: it comes first there."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(512, 10) for _ in range(3))

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        return [head(features) for head in self.heads][::-1]

    def loss(self, outputs: list[Tensor], y_N: Tensor) -> Tensor:
        return torch.stack([F.cross_entropy(output, y_N) for output in outputs]).mean()


class StoresItsLoss(Net):
    """`loss` is the last value of the loss, not a function."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = torch.zeros(())

    def forward(self, x_NCHW: Tensor) -> Any:
        logits = super().forward(x_NCHW)
        self.loss = logits.detach().square().mean()
        return logits


class WideLoss(Net):
    """A loss in float64."""

    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(logits_NK.double(), y_N)


class LossAndLogits(Net):
    """The loss first, where labels were given; else None."""

    def forward(self, x_NCHW: Tensor, labels: Tensor | None = None) -> Any:
        return None, super().forward(x_NCHW)


class LossOfImages(Net):
    """Its loss wants images and computes the logits itself."""

    def loss(self, x_NCHW: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(self(x_NCHW), y_N)


class LossOfThree(Net):
    def loss(self, x_NCHW: Tensor, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(logits_NK, y_N) + 0 * x_NCHW.sum()


class NeedsLabels(Net):
    def forward(self, x_NCHW: Tensor, y_N: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x_NCHW)
