"""Pre-activation ResNet (He et al., 2016, "Identity Mappings in Deep Residual Networks", section 4).

BatchNorm and ReLU come before each convolution, so that the shortcut path holds only additions. As in the original
zoo, the sum of the last block is not normalised before the head.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.resnet import stages


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after its BatchNorm and ReLU, with a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut = projection(in_channels, channels * self.expansion, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        active = F.relu(self.bn1(x_NCHW))
        out = self.conv1(active)
        out = self.conv2(F.relu(self.bn2(out)))
        return out + (x_NCHW if self.shortcut is None else self.shortcut(active))


class PreActBottleneck(nn.Module):
    """1x1, 3x3, 1x1, each after its BatchNorm and ReLU, with a shortcut; the last has four times the channels."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.shortcut = projection(in_channels, channels * self.expansion, stride)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 4 * channels, H / stride, W / stride)."""
        active = F.relu(self.bn1(x_NCHW))
        out = self.conv1(active)
        out = self.conv2(F.relu(self.bn2(out)))
        out = self.conv3(F.relu(self.bn3(out)))
        return out + (x_NCHW if self.shortcut is None else self.shortcut(active))


PLANS: dict[str, tuple[type[PreActBlock] | type[PreActBottleneck], tuple[int, int, int, int]]] = {
    "PreActResNet18": (PreActBlock, (2, 2, 2, 2)),
    "PreActResNet34": (PreActBlock, (3, 4, 6, 3)),
    "PreActResNet50": (PreActBottleneck, (3, 4, 6, 3)),
    "PreActResNet101": (PreActBottleneck, (3, 4, 23, 3)),
    "PreActResNet152": (PreActBottleneck, (3, 8, 36, 3)),
}


class PreActResNet(nn.Module):
    """A 3x3 convolution, then four stages; all but the first halve the image and double the channels."""

    def __init__(
        self,
        block: type[PreActBlock] | type[PreActBottleneck],
        num_blocks: tuple[int, int, int, int],
        num_classes: int = 10,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(block, num_blocks)
        self.linear = nn.Linear(512 * block.expansion, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        out = self.conv1(x_NCHW)
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return self.linear(out.mean((2, 3)))


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """Return a 1x1 convolution of the activated input if the shape changes; None if the input is the shortcut."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    block, num_blocks = PLANS[name]
    return PreActResNet(block, num_blocks, num_classes)
