"""Mistakes that models are written with, of which torch says little."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tests.habits.ending import Net


class KeepsItsGraph(Net):
    """Computes from weights once, in __init__."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(self.linear.bias.detach() + 1)
        self.twice = self.scale * 2

    def forward(self, x_NCHW: Tensor) -> Any:
        return super().forward(x_NCHW) * self.twice


class Overwrites(Net):
    """Adds to the output of a sigmoid in place."""

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW).sigmoid()
        features += 1
        return self.linear(features)


class HalfLayer(Net):
    """A layer in fp16 by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = self.linear.half()

    def forward(self, x_NCHW: Tensor) -> Any:
        return self.linear(self.features(x_NCHW).half())


class Refuses(Net):
    """Raises a ValueError of its own."""

    def forward(self, x_NCHW: Tensor) -> Any:
        raise ValueError(f"expected 28x28 images\nand got {tuple(x_NCHW.shape)}")


class RefusesInEvaluation(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        if not self.training and len(x_NCHW) > 100:
            raise ValueError("at most 100 images\nat once")
        return super().forward(x_NCHW)
