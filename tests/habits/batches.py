"""Models with BatchNorm at different places, and what it gets from a batch of one image."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tests.habits.ending import Net


class NormAtTheEnd(Net):
    """One value per channel, after pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.BatchNorm1d(512)

    def features(self, x_NCHW: Tensor) -> Tensor:
        return self.last(super().features(x_NCHW))


class NormAtTheEndFrozen(NormAtTheEnd):
    """BatchNorm stays in evaluation mode, as in fine-tuning."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.last.eval()
        return self
