"""Deep layer aggregation for small images (Yu et al., 2018, "Deep Layer Aggregation", section 3).

Residual blocks are the leaves of trees. The root of a tree is a 1x1 convolution over the concatenated outputs of its
parts. `DLA` aggregates hierarchically (figure 2f), `SimpleDLA` in plain binary trees (figure 2d).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ampbench.models.resnet import BasicBlock


class Root(nn.Module):
    """A 1x1 convolution over the concatenated outputs of a tree's parts."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, *xs_NCHW: Tensor) -> Tensor:
        """Map tensors of equal N, H, W to (N, channels, H, W)."""
        return F.relu(self.bn(self.conv(torch.cat(xs_NCHW, 1))))


class BinaryTree(nn.Module):
    """Two subtrees, one after the other, and a root over their outputs; at level 1 the subtrees are blocks."""

    def __init__(self, in_channels: int, channels: int, level: int, stride: int) -> None:
        super().__init__()
        self.root = Root(2 * channels, channels)
        self.left: nn.Module
        self.right: nn.Module
        if level == 1:
            self.left = BasicBlock(in_channels, channels, stride)
            self.right = BasicBlock(channels, channels, 1)
        else:
            self.left = BinaryTree(in_channels, channels, level - 1, stride)
            self.right = BinaryTree(channels, channels, level - 1, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        left = self.left(x_NCHW)
        return self.root(left, self.right(left))


class AggregationTree(nn.Module):
    """Two blocks in sequence and a root. At level 2 a tree of level 1 comes before them.

    The root of level 2 also takes the output of that tree, and that of a block parallel to it.
    """

    def __init__(self, in_channels: int, channels: int, level: int, stride: int) -> None:
        super().__init__()
        assert level in (1, 2), level
        self.deep = level == 2
        self.root = Root((4 if self.deep else 2) * channels, channels)
        if self.deep:
            self.subtree = AggregationTree(in_channels, channels, 1, stride)
            self.beside = BasicBlock(in_channels, channels, stride)
            in_channels, stride = channels, 1
        self.left = BasicBlock(in_channels, channels, stride)
        self.right = BasicBlock(channels, channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, channels, H / stride, W / stride)."""
        joined = []
        if self.deep:
            joined.append(self.beside(x_NCHW))
            x_NCHW = self.subtree(x_NCHW)
            joined.append(x_NCHW)
        left = self.left(x_NCHW)
        return self.root(*joined, left, self.right(left))


TREES: dict[str, type[BinaryTree] | type[AggregationTree]] = {
    "SimpleDLA": BinaryTree,
    "DLA": AggregationTree,
}

# In, out, level and stride of each tree.
PLAN: tuple[tuple[int, int, int, int], ...] = (
    (32, 64, 1, 1),
    (64, 128, 2, 2),
    (128, 256, 2, 2),
    (256, 512, 1, 2),
)


class DLA(nn.Module):
    """Three convolutions, then four trees; the last three halve the image."""

    def __init__(self, tree: type[BinaryTree] | type[AggregationTree], num_classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for in_channels, channels in ((3, 16), (16, 16), (16, 32)):
            layers += [
                nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            ]
        self.features = nn.Sequential(*layers, *(tree(*widths) for widths in PLAN))
        self.linear = nn.Linear(512, num_classes)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, K); H and W are multiples of 8."""
        return self.linear(self.features(x_NCHW).mean((2, 3)))


def build(name: str, num_classes: int) -> nn.Module:
    """Build a network of the trees in `TREES`."""
    return DLA(TREES[name], num_classes)
