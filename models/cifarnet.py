"""The plain convolutional networks of the auto-optimising trainer (study S4)."""

from __future__ import annotations

from torch import Tensor, nn


class SmallCifarNet(nn.Module):
    """Three convolutions, each with BatchNorm, ReLU and a halving, then two linear layers with dropout before both."""

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


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member so far."""
    return SmallCifarNet(num_classes)
