"""More models as people write them; most of them learn what a loop of the user's own would teach them, bit for bit."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.habits.ending import Net


class CompiledInside(Net):
    """What a factory returns that calls torch.compile: an object that has a length, and none."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(self.conv, self.norm)


def compiled() -> Any:
    return torch.compile(CompiledInside(), backend="eager")


def data_parallel() -> nn.Module:
    """As scripts for several GPUs wrap their model."""
    model: Any = nn.DataParallel(Net())
    model.input_shape, model.num_classes = (3, 16, 16), 10
    return model


class WeightedLoss(Net):
    """Its loss is a layer that holds the weights of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.CrossEntropyLoss(weight=torch.linspace(0.5, 1.5, 10))


class WeightedCriterion(Net):
    """The same under another name, called by its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.criterion = nn.CrossEntropyLoss(weight=torch.linspace(0.5, 1.5, 10))

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        return self.criterion(output, y_N)


class WeightedByBuffer(Net):
    """Its loss reads a buffer of the model's, which a recipe may cast."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights", torch.linspace(0.5, 1.5, 10))

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(output, y_N, weight=self.class_weights)


num_steps = 0


class CountsOutside(Net):
    """Warms up by a count that is a global variable and one of its class, before a view that wants NCHW."""

    calls = 0

    def forward(self, x_NCHW: Tensor) -> Any:
        global num_steps
        if self.training:
            num_steps += 1
            CountsOutside.calls += 1
        x = self.norm(self.conv(x_NCHW)).relu()
        x = F.max_pool2d(x, 2)
        return self.linear(x.view(x.size(0), -1)) * min(1.0, (num_steps + CountsOutside.calls) / 10)


class KeepsItsState(Net):
    """A recurrent network that goes on from the state of the last batch."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(48, 32, batch_first=True)
        self.linear = nn.Linear(32, 10)
        self.state: Tensor | None = None

    def forward(self, x_NCHW: Tensor) -> Any:
        output, state = self.rnn(x_NCHW.permute(0, 2, 1, 3).flatten(2), self.state)
        self.state = state.detach()
        return self.linear(output[:, -1])


class ByKeyword(Net):
    def forward(self, *, x: Tensor) -> Any:
        return super().forward(x)


class SwitchesGradientsOff(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        output = super().forward(x_NCHW)
        torch.set_grad_enabled(False)
        return output


class KerasLoss(Net):
    """Labels first."""

    def loss(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return F.cross_entropy(y_pred, y_true)


class Unflattened(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 10, 1)

    def forward(self, x_NCHW: Tensor) -> Any:
        return F.adaptive_avg_pool2d(self.head(self.norm(self.conv(x_NCHW)).relu()), 1)


class AnswersInEvaluation(Net):
    """Its evaluation is made for a user: the best three classes."""

    def forward(self, x_NCHW: Tensor) -> Any:
        logits = super().forward(x_NCHW)
        return logits if self.training else logits.softmax(1).topk(3)


class Insists(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        if not torch.cuda.is_available():
            raise KeyError("cuda")
        return super().forward(x_NCHW)


@dataclass
class Output:
    loss: Tensor | None = None
    logits: Tensor | None = None


class LikeHuggingFace(Net):
    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> Output:  # type: ignore[override]
        logits = super().forward(pixel_values)
        return Output(None if labels is None else F.cross_entropy(logits, labels), logits)


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
        return F.max_pool2d(x.relu(), 2).flatten(1)


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
    """A copy of its first layer follows it, moved inside forward."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)

    def forward(self, x_NCHW: Tensor) -> Any:
        if self.training:
            with torch.no_grad():
                for slow, fast in zip(self.teacher.parameters(), self.conv.parameters(), strict=True):
                    slow.lerp_(fast, 0.1)
        return super().forward(x_NCHW), self.conv(x_NCHW), self.teacher(x_NCHW)

    def loss(self, outputs: tuple[Tensor, Tensor, Tensor], y_N: Tensor) -> Tensor:
        return F.cross_entropy(outputs[0], y_N) + 0.1 * F.mse_loss(outputs[1], outputs[2])


class ReentrantOnImages(Net):
    """The older checkpointing, over all layers, so that the images must want a gradient; and it writes over them."""

    def forward(self, x_NCHW: Tensor) -> Any:
        x_NCHW = x_NCHW.add_(0.5).relu_().requires_grad_()
        return self.linear(checkpoint(self.features, x_NCHW, use_reentrant=True))


class Says(Net):
    """Prints what looks like an answer, and forwards what it does not know to its layers."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("linear"), name)

    def forward(self, x_NCHW: Tensor) -> Any:
        print('{"bytes": 1}', file=sys.stdout, flush=True)
        return super().forward(x_NCHW)


class Frozen(Net):
    """Half of it, and its BatchNorm stays in evaluation: `train` is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv.requires_grad_(False)

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        self.norm.eval()
        return self
