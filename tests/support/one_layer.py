"""Networks in which a single layer is the trouble of 16-bit formats, and that train well in fp32: tests of `keep_fp32`.

Each has the layers `stem`, `norm`, one that troubles, and `head`, on images of 8x8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOUD = 2.0**13
FAINT = 2.0**-17
HEAVY = 64.0


class Loud(nn.Linear):
    """Multiplies by numbers that go beyond 65,504 on the way and come back: infinite in fp16, harmless elsewhere."""

    def forward(self, x_ND: Tensor) -> Tensor:
        return F.linear(x_ND * LOUD, self.weight) * LOUD / LOUD**2 + self.bias


class Faint(nn.Linear):
    """Adds so little of its product that the gradients of its weights are below the smallest number of fp16."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, bias=False)
        nn.init.zeros_(self.weight)

    def forward(self, x_ND: Tensor) -> Tensor:
        return x_ND + F.linear(x_ND, self.weight) * FAINT


class Heavy(nn.Linear):
    """Holds its weights far from zero, where an update of bf16 is lost: between 32 and 64 its numbers are 1/4 apart."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, bias=False)
        nn.init.constant_(self.weight, HEAVY)

    def forward(self, x_ND: Tensor) -> Tensor:
        return x_ND + F.linear(x_ND, self.weight - HEAVY)


class _Net(nn.Module):
    input_shape = (3, 8, 8)
    num_classes = 10

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.trouble = self.built(16)
        self.head = nn.Linear(16, 10)

    def built(self, width: int) -> nn.Module:
        raise NotImplementedError

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.head(torch.relu(self.trouble(torch.relu(self.norm(self.stem(x_NCHW))).amax((2, 3)))))


class Overflows(_Net):
    """In fp16 the outputs of one layer are infinite."""

    def built(self, width: int) -> nn.Module:
        return Loud(width, width)


class Underflows(_Net):
    """In fp16 the gradient of one layer's weights is zero."""

    def built(self, width: int) -> nn.Module:
        return Faint(width)


class LosesUpdates(_Net):
    """With bf16 weights one layer does not move."""

    def built(self, width: int) -> nn.Module:
        return Heavy(width)
