"""Residual convolutions, then self-attention over the 16 places that are left: the network of study S2.

The attention blocks are those of models/vit.py with an MLP as wide as its input; no class token and no positions, since
the convolutions before them know where they look.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.vit import Block

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages; the image halves between two of them."""

NUM_TOKENS = 16
"""What is left of a 32x32 image: 4x4 places."""


class ResidualBlock(nn.Module):
    """1x1, 3x3, 1x1 of equal width beside a shortcut, each with ReLU and then BatchNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for kernel in (1, 3, 1):
            layers += [
                nn.Conv2d(channels, channels, kernel, padding=kernel // 2),
                nn.ReLU(),
                nn.BatchNorm2d(channels),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return x_NCHW + self.layers(x_NCHW)


class Hybrid(nn.Module):
    """Four stages of two residual blocks, halving between them, four attention blocks, one linear layer."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)]
        for i, channels in enumerate(WIDTHS):
            if i:
                layers.append(nn.Conv2d(WIDTHS[i - 1], channels, 3, stride=2, padding=1, bias=False))
            layers += [ResidualBlock(channels), ResidualBlock(channels)]
        self.convolutions = nn.Sequential(*layers)
        blocks = (Block(WIDTHS[-1], num_heads=4, mlp_ratio=1, qkv_bias=False, eps=1e-5) for _ in range(4))
        self.attention = nn.Sequential(*blocks)
        self.linear = nn.Linear(NUM_TOKENS // 2 * WIDTHS[-1] // 2, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, K)."""
        x_NTC = self.attention(self.convolutions(x_NCHW).flatten(2).transpose(1, 2))
        return self.linear(F.max_pool2d(x_NTC, 2).flatten(1))  # over tokens and channels, as the study did


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return Hybrid(num_classes)
