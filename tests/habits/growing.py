"""Models that set weights by the first images that they see, or train few of them."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from tests.habits.ending import Net


class ScaledByFirst(Net):
    """Sets a scale in its first forward pass, and remembers it by a flag of Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.is_set = False

    def features(self, x_NCHW: Tensor) -> Tensor:
        x = self.conv(x_NCHW)
        if not self.is_set:
            with torch.no_grad():
                self.scale.fill_(1 / (x.float().std().item() + 1e-6))
            self.is_set = True
        return self.norm(x * self.scale).relu().flatten(1)


class ScaledByFirstBuffer(Net):
    """The same by a flag that is a buffer, as in ActNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.register_buffer("is_set", torch.tensor(0, dtype=torch.uint8))

    def features(self, x_NCHW: Tensor) -> Tensor:
        x = self.conv(x_NCHW)
        if self.is_set.item() == 0:
            with torch.no_grad():
                self.scale.copy_(1 / (x.std((0, 2, 3), keepdim=True) + 1e-6))
            self.is_set.fill_(1)
        return self.norm(x * self.scale).relu().flatten(1)


class OnlyItsHead(Net):
    """Frozen but for the head; in training the frozen part is as in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)
        self.linear.requires_grad_(True)

    def features(self, x_NCHW: Tensor) -> Tensor:
        with torch.no_grad():
            return super().features(x_NCHW)


class AllFrozen(Net):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class OfTwoDtypes(Net):
    """Weights that set their dtype themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8 * 64, 10, dtype=torch.float32)


class Prints(Net):
    """Prints, from Python and from C."""

    def __init__(self) -> None:
        super().__init__()
        print("built")
        os.write(1, b"{past Python}\n")

    def forward(self, x_NCHW: Tensor) -> Any:
        print("called")
        return super().forward(x_NCHW)


class Leaves(Net):
    def __init__(self) -> None:
        os._exit(7)
