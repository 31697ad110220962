"""EfficientNet-B0 for small images (Tan & Le, 2019, "EfficientNet: Rethinking Model Scaling", section 4).

Inverted residuals with squeeze and excitation. The stem keeps the image's size, and there is no last 1x1 convolution,
as in the original zoo.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.squeeze_excite import SqueezeExcite


def drop_connect(x_NCHW: Tensor, rate: float) -> Tensor:
    """Zero whole images with probability `rate`, and scale the others so that the mean is unchanged.

    After Huang et al., 2016, "Deep Networks with Stochastic Depth", section 3. The random numbers are fp32
    for every dtype of the images, so with one seed every recipe drops the same images.
    """
    kept_N111 = torch.rand((len(x_NCHW), 1, 1, 1), device=x_NCHW.device, dtype=torch.float32) >= rate
    return x_NCHW * kept_N111 / (1 - rate)


class MBConv(nn.Module):
    """1x1 that widens, depthwise k x k, squeeze and excitation, 1x1 that narrows; with a shortcut if shapes agree."""

    def __init__(
        self, in_channels: int, channels: int, expansion: int, kernel_size: int, stride: int, drop_rate: float
    ) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.conv1 = nn.Conv2d(in_channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, kernel_size, stride, padding=kernel_size // 2, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.se = SqueezeExcite(wide, in_channels // 4, nn.SiLU())
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.widens = expansion != 1
        if not self.widens:
            # The original zoo has these weights and never uses them. They stay, so that its checkpoints fit, but are
            # frozen: DistributedDataParallel would wait for their gradients.
            self.conv1.requires_grad_(False)
            self.bn1.requires_grad_(False)
        self.has_shortcut = stride == 1 and in_channels == channels
        self.drop_rate = drop_rate

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        out = F.silu(self.bn1(self.conv1(x_NCHW))) if self.widens else x_NCHW
        out = self.se(F.silu(self.bn2(self.conv2(out))))
        out = self.bn3(self.conv3(out))
        if not self.has_shortcut:
            return out
        return x_NCHW + (drop_connect(out, self.drop_rate) if self.training and self.drop_rate else out)


# Expansion, channels, blocks, kernel size, stride of the first block: table 1 of the paper.
PLAN: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


class EfficientNet(nn.Module):
    """Sixteen blocks. With a drop rate, later blocks are dropped more often in training.

    The rate rises from 0 towards `drop_rate`. The paper uses 0.2 (section 5.2). The original zoo intends the same, but
    a bug in its block counter keeps every rate at 0: its accuracies are without drops, as the default here.
    """

    def __init__(self, num_classes: int = 10, dropout: float = 0.2, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        num_blocks = sum(depth for _, _, depth, _, _ in PLAN)
        blocks = []
        in_channels = 32
        for expansion, channels, depth, kernel_size, stride in PLAN:
            for i in range(depth):
                rate = drop_rate * len(blocks) / num_blocks
                blocks.append(MBConv(in_channels, channels, expansion, kernel_size, 1 if i else stride, rate))
                in_channels = channels
        self.layers = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K)."""
        out = self.layers(F.silu(self.bn1(self.conv1(x_NCHW))))
        return self.linear(self.dropout(out.mean((2, 3))))


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return EfficientNet(num_classes)
