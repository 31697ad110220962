"""ShuffleNet for small images.

After Zhang et al., 2018, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", section
3. Grouped 1x1 convolutions are cheap but exchange nothing between groups, so the channels are shuffled.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def shuffle(x_NCHW: Tensor, groups: int) -> Tensor:
    """Reorder the channels: the first of each group, then the second of each group, … (section 3.1)."""
    return x_NCHW.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class ShuffleBlock(nn.Module):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1; with stride 2 the pooled input is appended (figure 2c)."""

    def __init__(self, in_channels: int, channels: int, groups: int, stride: int, *, first: bool) -> None:
        super().__init__()
        self.stride = stride
        new_channels = channels - in_channels if stride == 2 else channels
        narrow = new_channels // 4
        # The stem has too few channels for groups (section 3.2).
        self.groups = 1 if first else groups
        self.conv1 = nn.Conv2d(in_channels, narrow, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, padding=1, groups=narrow, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, new_channels, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(new_channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = shuffle(F.relu(self.bn1(self.conv1(x_NCHW))), self.groups)
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.stride == 1:
            return F.relu(out + x_NCHW)
        return F.relu(torch.cat((out, F.avg_pool2d(x_NCHW, 3, stride=2, padding=1)), 1))


# Groups, and the channels of the three stages: table 1 of the paper.
PLANS: dict[str, tuple[int, tuple[int, int, int]]] = {
    "ShuffleNetG2": (2, (200, 400, 800)),
    "ShuffleNetG3": (3, (240, 480, 960)),
}


class ShuffleNet(nn.Module):
    """A 1x1 stem, then stages of 4, 8 and 4 blocks; each stage halves the image."""

    def __init__(self, groups: int, stage_channels: tuple[int, int, int], num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 24, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        blocks = []
        in_channels = 24
        for channels, depth in zip(stage_channels, (4, 8, 4), strict=True):
            for i in range(depth):
                stride = 1 if i else 2
                blocks.append(ShuffleBlock(in_channels, channels, groups, stride, first=not blocks))
                in_channels = channels
        self.layers = nn.Sequential(*blocks)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        out = self.layers(F.relu(self.bn1(self.conv1(x_NCHW))))
        return self.linear(out.mean((2, 3)))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    groups, stage_channels = PLANS[name]
    return ShuffleNet(groups, stage_channels, num_classes)
