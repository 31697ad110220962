"""DenseNet-BC for small images (Huang et al., 2017, "Densely Connected Convolutional Networks", section 3).

Each layer adds `growth` channels; its input is the channels of all earlier layers of its block. The stem is one 3x3
convolution without stride or pooling.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """A 1x1 bottleneck of 4 * growth channels and a 3x3 convolution, each after its BatchNorm and ReLU."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, growth + C, H, W), the new channels first."""
        out = self.conv1(F.relu(self.bn1(x_NCHW)))
        out = self.conv2(F.relu(self.bn2(out)))
        return torch.cat((out, x_NCHW), 1)


class Transition(nn.Module):
    """Halve the channels and the image (compression 0.5 of section 3)."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C // 2, H / 2, W / 2)."""
        return F.avg_pool2d(self.conv(F.relu(self.bn(x_NCHW))), 2)


# Growth and the layers of the four blocks: after table 1 of the paper.
PLANS: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    "DenseNet121": (32, (6, 12, 24, 16)),
    "DenseNet161": (48, (6, 12, 36, 24)),
    "DenseNet169": (32, (6, 12, 32, 32)),
    "DenseNet201": (32, (6, 12, 48, 32)),
}


class DenseNet(nn.Module):
    """Four dense blocks with a transition between neighbours."""

    def __init__(self, growth: int, num_layers: tuple[int, int, int, int], num_classes: int = 10) -> None:
        super().__init__()
        channels = 2 * growth
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        blocks: list[nn.Module] = []
        for i, depth in enumerate(num_layers):
            if i:
                blocks.append(Transition(channels))
                channels //= 2
            blocks.append(nn.Sequential(*(DenseLayer(channels + j * growth, growth) for j in range(depth))))
            channels += depth * growth
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        out = F.relu(self.bn(self.blocks(self.conv1(x_NCHW))))
        return self.linear(out.mean((2, 3)))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    growth, num_layers = PLANS[name]
    return DenseNet(growth, num_layers, num_classes)
