"""MobileNetV2 for small images (Sandler et al., 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks").

The stem and the second stage keep the image's size, where the paper halves it. Unlike in the paper, a block of stride 1
that changes the number of channels also has a shortcut, a projection, as in the original zoo.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.resnet import shortcut


class InvertedResidual(nn.Module):
    """1x1 that widens, depthwise 3x3, 1x1 that narrows without activation (section 3.3)."""

    def __init__(self, in_channels: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.conv1 = nn.Conv2d(in_channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.shortcut = shortcut(in_channels, channels, stride) if stride == 1 else None

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return out if self.shortcut is None else out + self.shortcut(x_NCHW)


# Expansion, channels, blocks, stride of the first block: table 2 of the paper, the second stride 1 for small images.
PLAN: tuple[tuple[int, int, int, int], ...] = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(nn.Module):
    """Seventeen inverted residuals; three of them halve the image."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        blocks = []
        in_channels = 32
        for expansion, channels, depth, stride in PLAN:
            for i in range(depth):
                blocks.append(InvertedResidual(in_channels, channels, expansion, 1 if i else stride))
                in_channels = channels
        self.layers = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(in_channels, 1280, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1280)
        self.linear = nn.Linear(1280, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K)."""
        out = self.layers(F.relu(self.bn1(self.conv1(x_NCHW))))
        out = F.relu(self.bn2(self.conv2(out)))
        return self.linear(out.mean((2, 3)))


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return MobileNetV2(num_classes)
