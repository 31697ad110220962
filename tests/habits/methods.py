"""Methods that a model has of its own: margins, centres, mixed images, penalties, an optimizer, a teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.habits.ending import Net


class ArcFace(Net):
    """A head of angles, whose margin only its loss can add."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(512, 32)
        self.weight = nn.Parameter(torch.randn(10, 32) * 0.1)

    def forward(self, x_NCHW: Tensor) -> Any:
        return F.linear(F.normalize(super().forward(x_NCHW)), F.normalize(self.weight))

    def loss(self, cosines: Tensor, y_N: Tensor) -> Tensor:
        angles = cosines.clamp(-1 + 1e-6, 1 - 1e-6).acos()
        return F.cross_entropy(16 * torch.where(F.one_hot(y_N, 10).bool(), (angles + 0.1).cos(), cosines), y_N)


class CenterLoss(Net):
    """Its loss has weights of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(10, 512))

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        return self.linear(features), features

    def loss(self, outputs: tuple[Tensor, Tensor], y_N: Tensor) -> Tensor:
        return F.cross_entropy(outputs[0], y_N) + 1e-3 * (outputs[1] - self.centers[y_N]).square().sum(1).mean()


class MixesUp(Net):
    """Mixup inside forward, drawn from NumPy's and torch's generators."""

    def forward(self, x_NCHW: Tensor) -> Any:
        if self.training:
            self.share, self.order = np.random.beta(0.2, 0.2), torch.randperm(len(x_NCHW))
            x_NCHW = self.share * x_NCHW + (1 - self.share) * x_NCHW[self.order]
        return super().forward(x_NCHW)

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        if not self.training:
            return F.cross_entropy(output, y_N)
        a, b = F.cross_entropy(output, y_N), F.cross_entropy(output, y_N[self.order])
        return self.share * a + (1 - self.share) * b


class HookedFrom(Net):
    """Hooks of its own, on a layer's way forward and back and on a weight's gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, Any] = {}
        self.norm.register_forward_hook(lambda _module, _input, output: self.seen.update(output=output))
        self.norm.register_full_backward_hook(lambda _module, _input, output: self.seen.update(gradient=output[0]))
        self.linear.weight.register_hook(lambda gradient: gradient * 0.5)


class GhostNorm(Net):
    """Statistics of 16 images each."""

    def features(self, x_NCHW: Tensor) -> Tensor:
        parts = x_NCHW.split(16) if self.training else [x_NCHW]
        x = torch.cat([self.norm(self.conv(part)) for part in parts])
        return x.relu().flatten(1)


class PenaltyOnGradient(Net):
    """Differentiates in its own forward."""

    penalty: Any = 0.0

    def forward(self, x_NCHW: Tensor) -> Any:
        if not self.training:
            return super().forward(x_NCHW)
        x_NCHW = x_NCHW.detach().requires_grad_()
        output = super().forward(x_NCHW)
        (gradient,) = torch.autograd.grad(output.sum(), x_NCHW, create_graph=True)
        self.penalty = gradient.square().mean()
        return output

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(output, y_N) + (self.penalty if self.training else 0.0)


class OwnOptimizer(Net):
    """Trains an adversary by itself, inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.adversary = nn.Linear(512, 2)
        self.optimizer = torch.optim.SGD(self.adversary.parameters(), 0.01)

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        if self.training:
            self.optimizer.zero_grad()
            guess = self.adversary(features.detach()).float()
            F.cross_entropy(guess, torch.zeros(len(guess), dtype=torch.long)).backward()
            self.optimizer.step()
        return self.linear(features)


class Teacher(Net):
    """A copy of its first layer follows it, updated inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Conv2d(3, 8, 4, stride=2, padding=1).requires_grad_(False)

    def forward(self, x_NCHW: Tensor) -> Any:
        if self.training:
            with torch.no_grad():
                for slow, fast in zip(self.teacher.parameters(), self.conv.parameters(), strict=True):
                    slow.lerp_(fast, 0.1)
        return super().forward(x_NCHW), self.conv(x_NCHW), self.teacher(x_NCHW)

    def loss(self, outputs: tuple[Tensor, Tensor, Tensor], y_N: Tensor) -> Tensor:
        return F.cross_entropy(outputs[0], y_N) + 0.1 * F.mse_loss(outputs[1], outputs[2])


class ReentrantOnImages(Net):
    """The older checkpointing, over all layers, so that the images must require a gradient; and it overwrites them."""

    def forward(self, x_NCHW: Tensor) -> Any:
        x_NCHW = x_NCHW.add_(0.5).relu_().requires_grad_()
        return self.linear(checkpoint(self.features, x_NCHW, use_reentrant=True))


class Frozen(Net):
    """Half of it, and its BatchNorm stays in evaluation: `train` is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv.requires_grad_(False)

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.norm.eval()
        return self
