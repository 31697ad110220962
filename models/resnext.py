"""ResNeXt-29 for small images.

After Xie et al., 2017, "Aggregated Residual Transformations for Deep Neural Networks", section 5.3. Unlike in
the paper, the stem is a 1x1 convolution and the last convolution of a block doubles the channels, as in the original
zoo. The name gives the number of groups and the channels of each group in the first stage: 2x64d.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.resnet import shortcut


class GroupedBlock(nn.Module):
    """1x1, grouped 3x3, 1x1 with a shortcut; the last has twice the channels."""

    expansion = 2

    def __init__(self, in_channels: int, groups: int, group_width: int, stride: int) -> None:
        super().__init__()
        channels = groups * group_width
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 2 * groups * group_width, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x_NCHW))


# Groups, and channels of each group in the first stage.
PLANS: dict[str, tuple[int, int]] = {
    "ResNeXt29_2x64d": (2, 64),
    "ResNeXt29_4x64d": (4, 64),
    "ResNeXt29_8x64d": (8, 64),
    "ResNeXt29_32x4d": (32, 4),
}


class ResNeXt(nn.Module):
    """Three stages of three blocks; the last two stages halve the image and double the channels."""

    def __init__(self, groups: int, group_width: int, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        stages: list[nn.Module] = []
        in_channels = 64
        for stage in range(3):
            width = group_width * 2**stage
            blocks = []
            for i in range(3):
                blocks.append(GroupedBlock(in_channels, groups, width, stride=2 if stage and not i else 1))
                in_channels = GroupedBlock.expansion * groups * width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 4."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(out.mean((2, 3)))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    groups, group_width = PLANS[name]
    return ResNeXt(groups, group_width, num_classes)
