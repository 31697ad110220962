"""SENet-18 (Hu et al., 2018, "Squeeze-and-Excitation Networks"): a pre-activation ResNet that scales its channels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.preact_resnet import projection
from ampbench.models.resnet import stages
from ampbench.models.squeeze_excite import SqueezeExcite


class SEBlock(nn.Module):
    """Two 3x3 convolutions after BatchNorm and ReLU, their channels scaled, with a shortcut (section 3.3)."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut = projection(in_channels, channels, stride)
        self.se = SqueezeExcite(channels, channels // 16, nn.ReLU())

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        active = F.relu(self.bn1(x_NCHW))
        out = self.conv1(active)
        out = self.conv2(F.relu(self.bn2(out)))
        return self.se(out) + (x_NCHW if self.shortcut is None else self.shortcut(active))


class SENet(nn.Module):
    """Four stages of blocks; all but the first halve the image and double the channels."""

    def __init__(self, num_blocks: tuple[int, int, int, int], num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(SEBlock, num_blocks)
        self.linear = nn.Linear(512 * SEBlock.expansion, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        out = F.relu(self.bn1(self.conv1(x_NCHW)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.linear(out.mean((2, 3)))


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return SENet((2, 2, 2, 2), num_classes)
