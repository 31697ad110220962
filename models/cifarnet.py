"""The plain convolutional networks of the auto-optimising trainer (study S4)."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class SmallCifarNet(nn.Module):
    """Three convolutions, each with BatchNorm, ReLU and max pooling, then two linear layers, each after a dropout."""

    def __init__(self, num_classes: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for in_channels, channels in ((3, 32), (32, 64), (64, 128)):
            layers += [
                nn.Conv2d(in_channels, channels, 3, padding=1),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(128 * 4 * 4, 512),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(512, num_classes),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, K)."""
        return self.classifier(self.features(x_NCHW).flatten(1))


class PowerCifarNet(nn.Module):
    """Four groups of two convolutions, then three linear layers.

    Each group halves the image; from one group to the next the channels double.

    Dropout grows with depth: it drops whole channels after each of the first three groups, and features before each
    linear layer.

    Args:
        width: scales the channels of the first group, 64 at width 1.
        num_classes: K.
        dropout: share of the features that is dropped before the first two linear layers; before the last one 0.6
            times that, so the default gives the 0.5, 0.5 and 0.3 of the study.

    Raises:
        ValueError: the width leaves no channel.
    """

    def __init__(self, width: float = 1.0, num_classes: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        base = int(64 * width)
        if base < 1:
            raise ValueError(f"width = {width} leaves none of 64 channels; the smallest is {1 / 64:g}")
        groups: list[nn.Module] = []
        in_channels = 3
        for channels, dropped in ((base, 0.1), (2 * base, 0.2), (4 * base, 0.3), (8 * base, 0.0)):
            for _ in range(2):
                groups += [
                    nn.Conv2d(in_channels, channels, 3, padding=1),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                in_channels = channels
            groups.append(nn.MaxPool2d(2))
            if dropped:
                groups.append(nn.Dropout2d(dropped))
        self.features = nn.Sequential(*groups)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(8 * base, 4 * base),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4 * base, 2 * base),
            nn.ReLU(inplace=True),
            nn.Dropout(0.6 * dropout),
            nn.Linear(2 * base, num_classes),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are 16 or more."""
        return self.classifier(F.adaptive_avg_pool2d(self.features(x_NCHW), 1).flatten(1))


WIDTHS = {
    "PowerCifarNet_x0_5": 0.5,
    "PowerCifarNet": 1.0,
    "PowerCifarNet_x1_5": 1.5,
    "PowerCifarNet_x2_0": 2.0,
    "PowerCifarNet_x2_5": 2.5,
}


def build(name: str, num_classes: int, **arguments: Any) -> nn.Module:
    """Build SmallCifarNet or a member of `WIDTHS`."""
    if name == "SmallCifarNet":
        return SmallCifarNet(num_classes, **arguments)
    return PowerCifarNet(**{"width": WIDTHS[name], "num_classes": num_classes} | arguments)
