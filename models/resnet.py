"""ResNet for small images (He et al., 2016, "Deep Residual Learning for Image Recognition", section 4.2).

The stem is one 3x3 convolution without stride or pooling, because a 32x32 image is already small.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = shortcut(in_channels, channels * self.expansion, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x_NCHW))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut; the last has four times the channels."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.shortcut = shortcut(in_channels, channels * self.expansion, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 4 * channels, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x_NCHW))


PLANS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "ResNet18": (BasicBlock, (2, 2, 2, 2)),
    "ResNet34": (BasicBlock, (3, 4, 6, 3)),
    "ResNet50": (Bottleneck, (3, 4, 6, 3)),
    "ResNet101": (Bottleneck, (3, 4, 23, 3)),
    "ResNet152": (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """Four stages of residual blocks; all but the first halve the image and double the channels."""

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        num_blocks: tuple[int, int, int, int],
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(block, num_blocks)
        self.linear = nn.Linear(512 * block.expansion, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.linear(out.mean((2, 3)))


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Return the identity, or the 1x1 projection where the shape changes (option B of the paper)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def stages(block: Any, num_blocks: tuple[int, int, int, int]) -> list[nn.Module]:
    """Return four stages of blocks of 64, 128, 256 and 512 channels; all but the first halve the image.

    Args:
        block: called with in_channels, channels and stride; its output has channels * `expansion` channels.
        num_blocks: number of blocks of each stage.
    """
    built: list[nn.Module] = []
    in_channels = 64
    for stage, (channels, depth) in enumerate(zip((64, 128, 256, 512), num_blocks, strict=True)):
        blocks = []
        for i in range(depth):
            blocks.append(block(in_channels, channels, stride=2 if stage and not i else 1))
            in_channels = channels * block.expansion
        built.append(nn.Sequential(*blocks))
    return built


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    block, num_blocks = PLANS[name]
    return ResNet(block, num_blocks, num_classes)
