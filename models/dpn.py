"""Dual path networks for small images (Chen et al., 2017, "Dual Path Networks", section 4).

The first channels of each block's output are added to its input, as in ResNet; the rest is appended, as in DenseNet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DualPathBlock(nn.Module):
    """1x1, 3x3 in 32 groups, 1x1; `channels` of the result are added, `growth` are appended."""

    def __init__(self, in_channels: int, wide: int, channels: int, growth: int, stride: int, *, first: bool) -> None:
        super().__init__()
        self.channels = channels
        self.conv1 = nn.Conv2d(in_channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=32, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.conv3 = nn.Conv2d(wide, channels + growth, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels + growth)
        self.shortcut = nn.Sequential()
        if first:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels + growth, 1, stride, bias=False),
                nn.BatchNorm2d(channels + growth),
            )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H / stride, W / stride); C' is C + growth, or channels + 2 growth if first."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        kept = self.shortcut(x_NCHW)
        d = self.channels
        return F.relu(torch.cat((kept[:, :d] + out[:, :d], kept[:, d:], out[:, d:]), 1))


PLANS: dict[str, tuple[int, int, int, int]] = {
    "DPN26": (2, 2, 2, 2),
    "DPN92": (3, 4, 20, 3),
}
"""Blocks of the four stages."""

# Channels within a block, added, appended, by stage: DPN-92 in table 1 of the paper.
STAGES: tuple[tuple[int, int, int], ...] = (
    (96, 256, 16),
    (192, 512, 32),
    (384, 1024, 24),
    (768, 2048, 128),
)


class DPN(nn.Module):
    """Four stages; all but the first halve the image."""

    def __init__(self, num_blocks: tuple[int, int, int, int], num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages: list[nn.Module] = []
        in_channels = 64
        for stage, ((wide, channels, growth), depth) in enumerate(zip(STAGES, num_blocks, strict=True)):
            blocks = []
            for i in range(depth):
                stride = 2 if stage and not i else 1
                blocks.append(DualPathBlock(in_channels, wide, channels, growth, stride, first=not i))
                in_channels = channels + (i + 2) * growth
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.linear(out.mean((2, 3)))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    return DPN(PLANS[name], num_classes)
