"""RegNet for small images (Radosavovic et al., 2020, "Designing Network Design Spaces", section 3.3).

Grouped bottlenecks whose widths follow a linear rule; RegNetY adds squeeze and excitation. The stem has 64 channels. As
in the original zoo, the stem and the second stage keep the image's size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.resnet import shortcut
from ampbench.models.squeeze_excite import SqueezeExcite


class Plan(NamedTuple):
    """What differs between RegNets."""

    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    group_width: int
    squeezes: bool


class YBlock(nn.Module):
    """1x1, grouped 3x3, squeeze and excitation if `squeezes`, 1x1, all of equal width, with a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int, *, group_width: int, squeezes: bool) -> None:
        super().__init__()
        groups = channels // group_width
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.se = SqueezeExcite(channels, in_channels // 4, nn.ReLU()) if squeezes else nn.Identity()
        self.conv3 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.shortcut = shortcut(in_channels, channels, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = self.se(F.relu(self.bn2(self.conv2(out))))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x_NCHW))


PLANS: dict[str, Plan] = {
    "RegNetX_200MF": Plan(depths=(1, 1, 4, 7), widths=(24, 56, 152, 368), group_width=8, squeezes=False),
    "RegNetX_400MF": Plan(depths=(1, 2, 7, 12), widths=(32, 64, 160, 384), group_width=16, squeezes=False),
    "RegNetY_400MF": Plan(depths=(1, 2, 7, 12), widths=(32, 64, 160, 384), group_width=16, squeezes=True),
}


class RegNet(nn.Module):
    """Four stages of blocks; the last two halve the image."""

    def __init__(self, plan: Plan, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        blocks = []
        in_channels = 64
        for channels, depth, stride in zip(plan.widths, plan.depths, (1, 1, 2, 2), strict=True):
            for i in range(depth):
                blocks.append(
                    YBlock(
                        in_channels,
                        channels,
                        1 if i else stride,
                        group_width=plan.group_width,
                        squeezes=plan.squeezes,
                    )
                )
                in_channels = channels
        self.layers = nn.Sequential(*blocks)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K)."""
        out = self.layers(F.relu(self.bn1(self.conv1(x_NCHW))))
        return self.linear(out.mean((2, 3)))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    return RegNet(PLANS[name], num_classes)
