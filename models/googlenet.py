"""GoogLeNet with BatchNorm for small images (Szegedy et al., 2015, "Going Deeper with Convolutions", section 5).

The stem is one 3x3 convolution, the auxiliary heads are left out, and two 3x3 convolutions replace each 5x5
(Szegedy et al., 2016, "Rethinking the Inception Architecture", section 3.1).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Inception(nn.Module):
    """Four parallel branches on the same input; their channels are concatenated."""

    def __init__(self, in_channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> None:
        super().__init__()
        reduced3, out3 = three
        reduced5, out5 = five
        self.one = nn.Sequential(*_conv(in_channels, one, 1))
        self.three = nn.Sequential(*_conv(in_channels, reduced3, 1), *_conv(reduced3, out3, 3))
        self.five = nn.Sequential(*_conv(in_channels, reduced5, 1), *_conv(reduced5, out5, 3), *_conv(out5, out5, 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *_conv(in_channels, pool, 1))
        self.out_channels = one + out3 + out5 + pool

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, out_channels, H, W)."""
        return torch.cat((self.one(x_NCHW), self.three(x_NCHW), self.five(x_NCHW), self.pool(x_NCHW)), 1)


# Table 1 of the paper: 1x1, 3x3 (reduced to, out), 5x5 (reduced to, out), after pooling; None halves the image.
PLAN: tuple[tuple[int, tuple[int, int], tuple[int, int], int] | None, ...] = (
    (64, (96, 128), (16, 32), 32),
    (128, (128, 192), (32, 96), 64),
    None,
    (192, (96, 208), (16, 48), 64),
    (160, (112, 224), (24, 64), 64),
    (128, (128, 256), (24, 64), 64),
    (112, (144, 288), (32, 64), 64),
    (256, (160, 320), (32, 128), 128),
    None,
    (256, (160, 320), (32, 128), 128),
    (384, (192, 384), (48, 128), 128),
)


class GoogLeNet(nn.Module):
    """Nine inception modules, with max pooling at two places that halves the image."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = _conv(3, 192, 3)
        channels = 192
        for widths in PLAN:
            if widths is None:
                layers.append(nn.MaxPool2d(3, stride=2, padding=1))
            else:
                inception = Inception(channels, *widths)
                layers.append(inception)
                channels = inception.out_channels
        self.features = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K)."""
        return self.linear(self.features(x_NCHW).mean((2, 3)))


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
    """Return a convolution that keeps the image's size, BatchNorm and ReLU."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return GoogLeNet(num_classes)
