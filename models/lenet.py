"""LeNet-5 with ReLU and max pooling (LeCun et al., 1998, "Gradient-based learning applied to document recognition")."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet(nn.Module):
    """Two convolutions, three linear layers; 62,006 parameters for (3, 32, 32) and 10 classes."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, K)."""
        return self.classifier(self.features(x_NCHW).flatten(1))


def build(_name: str, num_classes: int) -> nn.Module:
    """Build the family's one member."""
    return LeNet(num_classes)
