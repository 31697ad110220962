"""VGG with BatchNorm and a single linear head (Simonyan & Zisserman, 2015), as used on CIFAR-10."""

from __future__ import annotations

from torch import Tensor, nn

# Output channels of each 3x3 convolution; "M" halves the image.
PLANS: dict[str, list[int | str]] = {
    "VGG11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "VGG13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "VGG16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "VGG19": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}


class VGG(nn.Module):
    """Convolutions with bias, BatchNorm and ReLU; five poolings reduce a 32x32 image to 1x1."""

    def __init__(self, plan: list[int | str], num_classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for step in plan:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(in_channels, step, 3, padding=1), nn.BatchNorm2d(step), nn.ReLU(inplace=True)]
                in_channels = step
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(512, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 32, 32) to logits (N, K)."""
        return self.classifier(self.features(x_NCHW).flatten(1))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a member of `PLANS`."""
    return VGG(PLANS[name], num_classes)
