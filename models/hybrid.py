"""Residual convolutions, then self-attention over the remaining 16 positions: the network of study S2.

The attention blocks are those of models/vit.py with an MLP as wide as its input. There is no class token, and there
are no position embeddings: the convolutions before them already encode positions.

The study names three stages of residual blocks, but its number of parameters, 15,553,098, needs a fourth. It does not
say where biases and norms are. Of the layouts with that number, this one trains, and diverges, at the same batch sizes
as the study's network. Convolutions with biases, without BatchNorm of the sum, diverge at 32 images per step too
(experiments/LOG.md). The ReLU of the sum is our choice.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.vit import Block

WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages; the image is halved between two stages."""

NUM_TOKENS = 16
"""Positions after the convolutions: a 32x32 image becomes 4x4."""


def convolution(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution without bias, then ReLU, then BatchNorm: the order of study S2."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.ReLU(),
        nn.BatchNorm2d(out_channels),
    ]


class ResidualBlock(nn.Module):
    """1x1, 3x3, 1x1 of equal width with a shortcut; the sum also goes through ReLU and then BatchNorm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers = [layer for kernel in (1, 3, 1) for layer in convolution(channels, channels, kernel)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.norm(F.relu(x_NCHW + self.layers(x_NCHW)))


class Hybrid(nn.Module):
    """Four stages of two residual blocks, with the image halved between stages; four attention blocks; linear."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        layers = convolution(3, WIDTHS[0], 3)
        for i, channels in enumerate(WIDTHS):
            if i:
                layers += convolution(WIDTHS[i - 1], channels, 3, stride=2)
            layers += [ResidualBlock(channels), ResidualBlock(channels)]
        self.convolutions = nn.Sequential(*layers)
        blocks = (Block(WIDTHS[-1], num_heads=4, mlp_ratio=1, qkv_bias=False, eps=1e-5) for _ in range(4))
        self.attention = nn.Sequential(*blocks)
        self.linear = nn.Linear(NUM_TOKENS // 2 * WIDTHS[-1] // 2, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, K)."""
        x_NTC = self.attention(self.convolutions(x_NCHW).flatten(2).transpose(1, 2))
        return self.linear(F.max_pool2d(x_NTC, 2).flatten(1))  # pools over tokens and channels, as in the study


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return Hybrid(num_classes)
