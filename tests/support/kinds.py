"""Networks whose step is almost entirely one kind of work, so that an explanation of it can be checked."""

from __future__ import annotations

import itertools

from torch import Tensor, nn


class _Head(nn.Module):
    """A tiny classifier behind layers that keep the shape of the image."""

    input_shape = (3, 32, 32)
    num_classes = 10

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 10)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.linear(self.layers(x_NCHW).mean((2, 3)))


class Convolutions(_Head):
    """Convolutions without bias, one after the other."""

    def __init__(self) -> None:
        super().__init__(64)
        sizes = (3, 64, 64, 64, 64)
        self.layers = nn.Sequential(*(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise(sizes)))


class Elementwise(_Head):
    """Activations, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Sequential(nn.GELU(), nn.Tanh(), nn.Sigmoid()) for _ in range(4)))


class Normalisations(_Head):
    """Batch norms, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.BatchNorm2d(3) for _ in range(12)))


class ManyWeights(nn.Module):
    """An embedding of which a step reads a few rows, and updates all."""

    input_shape = (3, 32, 32)
    num_classes = 10
    num_rows = 2_000_000

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(self.num_rows, 10)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.rows((x_NCHW[:, 0, 0, :4].abs() * 1000).long()).mean(1)


class HundredMillionWeights(ManyWeights):
    """The same of 1e8 weights."""

    num_rows = 10_000_000


class Quick(_Head):
    """Almost no work at all."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.AvgPool2d(8)


class Casts(_Head):
    """Convolutions of few operations, between which the model returns to fp32: autocast casts all their inputs."""

    def __init__(self) -> None:
        super().__init__(16)
        sizes = (3, 16, 16, 16, 16)
        self.layers = nn.Sequential(*(ToFp32(a, b, 1, bias=False) for a, b in itertools.pairwise(sizes)))


class ToFp32(nn.Conv2d):
    """A convolution whose output is in fp32."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return super().forward(x_NCHW).float()
