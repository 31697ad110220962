"""PNASNet for small images (Liu et al., 2018, "Progressive Neural Architecture Search", section 3), in two small cells.

As in the original zoo, a separable convolution is only the depthwise convolution, without the pointwise one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CellA(nn.Module):
    """A depthwise 7x7 convolution plus a max pooling; stride 2 doubles the channels."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.depthwise = _depthwise(in_channels, channels, 7, stride)
        self.pool = _pool(in_channels, channels, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        return F.relu(self.depthwise(x_NCHW) + self.pool(x_NCHW))


class CellB(nn.Module):
    """Depthwise 7x7 plus 3x3, and max pooling plus depthwise 5x5; both are concatenated and reduced by a 1x1."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.depthwise7 = _depthwise(in_channels, channels, 7, stride)
        self.depthwise3 = _depthwise(in_channels, channels, 3, stride)
        self.depthwise5 = _depthwise(in_channels, channels, 5, stride)
        self.pool = _pool(in_channels, channels, stride)
        self.conv = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        left = F.relu(self.depthwise7(x_NCHW) + self.depthwise3(x_NCHW))
        right = F.relu(self.pool(x_NCHW) + self.depthwise5(x_NCHW))
        return F.relu(self.bn(self.conv(torch.cat((left, right), 1))))


PLANS: dict[str, tuple[type[CellA] | type[CellB], int]] = {
    "PNASNetA": (CellA, 44),
    "PNASNetB": (CellB, 32),
}
"""Cell, and channels of the first stage."""


class PNASNet(nn.Module):
    """Three stages of six cells, with a cell of stride 2 between stages."""

    def __init__(self, cell: type[CellA] | type[CellB], channels: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        cells: list[nn.Module] = []
        for stage in range(3):
            if stage:
                cells.append(cell(channels, 2 * channels, stride=2))
                channels *= 2
            cells += [cell(channels, channels, stride=1) for _ in range(6)]
        self.layers = nn.Sequential(*cells)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 4."""
        out = self.layers(F.relu(self.bn1(self.conv1(x_NCHW))))
        return self.linear(out.mean((2, 3)))


def _depthwise(in_channels: int, channels: int, kernel_size: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel_size, stride, padding=kernel_size // 2, groups=in_channels, bias=False),
        nn.BatchNorm2d(channels),
    )


def _pool(in_channels: int, channels: int, stride: int) -> nn.Module:
    """Return a 3x3 max pooling; with stride 2, a 1x1 convolution follows that changes the channels."""
    pool = nn.MaxPool2d(3, stride=stride, padding=1)
    if stride == 1:
        return pool
    return nn.Sequential(pool, nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    cell, channels = PLANS[name]
    return PNASNet(cell, channels, num_classes)
