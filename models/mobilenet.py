"""MobileNet for small images (Howard et al., 2017, "MobileNets", section 3): depthwise, then pointwise convolutions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SeparableBlock(nn.Module):
    """A 3x3 convolution of each channel alone, then a 1x1 over all channels (section 3.1)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        return F.relu(self.bn2(self.conv2(out)))


# Channels and stride of each block: table 1 of the paper, without the stride of its stem.
PLAN: tuple[tuple[int, int], ...] = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


class MobileNet(nn.Module):
    """Thirteen separable blocks; four of them halve the image."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        blocks = []
        in_channels = 32
        for channels, stride in PLAN:
            blocks.append(SeparableBlock(in_channels, channels, stride))
            in_channels = channels
        self.layers = nn.Sequential(*blocks)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K)."""
        out = self.layers(F.relu(self.bn1(self.conv1(x_NCHW))))
        return self.linear(out.mean((2, 3)))


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return MobileNet(num_classes)
