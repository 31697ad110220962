"""ShuffleNetV2 for small images.

After Ma et al., 2018, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", section 3. The
design reduces memory traffic instead of operations: 1x1 convolutions without groups and as wide as their input, and a
shuffle that mixes the unchanged half of the channels with the other half. The stem keeps the image's size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.shufflenet import shuffle


class SplitBlock(nn.Module):
    """1x1, depthwise 3x3, 1x1 on the second half of the channels (figure 3c)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        kept, changed = x_NCHW.chunk(2, 1)
        out = F.relu(self.bn1(self.conv1(changed)))
        out = self.bn2(self.conv2(out))
        out = F.relu(self.bn3(self.conv3(out)))
        return shuffle(torch.cat((kept, out), 1), 2)


class DownBlock(nn.Module):
    """Two branches that take all channels and halve the image; each gives half of the new channels (figure 3d)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, 2, padding=1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = nn.Conv2d(half, half, 3, 2, padding=1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / 2, W / 2)."""
        left = self.bn1(self.conv1(x_NCHW))
        left = F.relu(self.bn2(self.conv2(left)))
        right = F.relu(self.bn3(self.conv3(x_NCHW)))
        right = self.bn4(self.conv4(right))
        right = F.relu(self.bn5(self.conv5(right)))
        return shuffle(torch.cat((left, right), 1), 2)


# Channels of the three stages and of the last convolution: table 5 of the paper (the original zoo has 224 for 244).
PLANS: dict[str, tuple[int, int, int, int]] = {
    "ShuffleNetV2_x0_5": (48, 96, 192, 1024),
    "ShuffleNetV2": (116, 232, 464, 1024),
    "ShuffleNetV2_x1_5": (176, 352, 704, 1024),
    "ShuffleNetV2_x2_0": (224, 488, 976, 2048),
}


class ShuffleNetV2(nn.Module):
    """Three stages: each halves the image, then has 3, 7 or 3 split blocks."""

    def __init__(self, plan: tuple[int, int, int, int], num_classes: int = 10) -> None:
        super().__init__()
        *stage_channels, last_channels = plan
        self.conv1 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        blocks: list[nn.Module] = []
        in_channels = 24
        for channels, depth in zip(stage_channels, (3, 7, 3), strict=True):
            blocks += [DownBlock(in_channels, channels), *(SplitBlock(channels) for _ in range(depth))]
            in_channels = channels
        self.layers = nn.Sequential(*blocks)
        self.conv2 = nn.Conv2d(in_channels, last_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(last_channels)
        self.linear = nn.Linear(last_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        out = self.layers(F.relu(self.bn1(self.conv1(x_NCHW))))
        out = F.relu(self.bn2(self.conv2(out)))
        return self.linear(out.mean((2, 3)))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    return ShuffleNetV2(PLANS[name], num_classes)
