"""Mistakes that models are written with, of which torch says little."""

from __future__ import annotations

from typing import Any

import torch
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


class OwnAutocast(Net):
    """Brings autocast along."""

    def forward(self, x_NCHW: Tensor) -> Any:
        with torch.autocast(x_NCHW.device.type, dtype=torch.bfloat16):
            features = self.features(x_NCHW)
        return self.linear(features.float())


class SparseGradients(Net):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(4, 10, sparse=True)

    def forward(self, x_NCHW: Tensor) -> Any:
        return super().forward(x_NCHW) + self.embedding((x_NCHW.mean((1, 2, 3)) > 0).long())


class WantsMapping(Net):
    """As a model that is called with a batch of its own data set's."""

    def forward(self, x: Any) -> Any:
        return super().forward(x["image"])


class WantsObject(Net):
    def forward(self, x: Any) -> Any:
        return super().forward(x.image)


class HidesLayers(Net):
    """Keeps layers in a plain list, and makes one in every forward."""

    def __init__(self) -> None:
        super().__init__()
        self.more = [nn.Linear(10, 10) for _ in range(2)]

    def forward(self, x_NCHW: Tensor) -> Any:
        logits = super().forward(x_NCHW)
        for layer in (*self.more, nn.Linear(10, 10, bias=False)):
            logits = logits + layer(logits)
        return logits


class Asserts(Net):
    """Asserts without a message."""

    def forward(self, x_NCHW: Tensor) -> Any:
        assert x_NCHW.size(3) == 28
        return super().forward(x_NCHW)


class Announces(Net):
    """Whose message begins with a line that says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.load_state_dict({"conv.weight": self.conv.weight})


network = Net()
"""Not a factory."""


class Refuses(Net):
    """Raises a ValueError of its own."""

    def forward(self, x_NCHW: Tensor) -> Any:
        raise ValueError(f"expected 28x28 images\nand got {tuple(x_NCHW.shape)}")


class RefusesInEvaluation(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        if not self.training and len(x_NCHW) > 100:
            raise ValueError("at most 100 images\nat once")
        return super().forward(x_NCHW)
