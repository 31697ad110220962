"""Residual convolutions, then self-attention over the 16 places that are left: the network of study S2.

Attention after Vaswani et al., 2017, "Attention Is All You Need", section 3.2, normalised first; no class token and no
positions, since the convolutions before it know where they look.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

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


class AttentionBlock(nn.Module):
    """Self-attention and an MLP as wide as its input, each normalised before and added after."""

    def __init__(self, width: int, num_heads: int = 4) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x_NTC: Tensor) -> Tensor:
        """Map tokens (N, T, C) to the same shape."""
        qkv_3NHTD = self.qkv(self.norm1(x_NTC)).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended_NHTD = F.scaled_dot_product_attention(*qkv_3NHTD.unbind(0))
        x_NTC = x_NTC + self.out(attended_NHTD.transpose(1, 2).flatten(2))
        return x_NTC + self.mlp(self.norm2(x_NTC))


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
        self.attention = nn.Sequential(*(AttentionBlock(WIDTHS[-1]) for _ in range(4)))
        self.linear = nn.Linear(NUM_TOKENS // 2 * WIDTHS[-1] // 2, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, K)."""
        x_NTC = self.attention(self.convolutions(x_NCHW).flatten(2).transpose(1, 2))
        return self.linear(F.max_pool2d(x_NTC, 2).flatten(1))  # over tokens and channels, as the study did


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return Hybrid(num_classes)
