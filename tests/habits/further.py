"""More models as people write them; most of them end bit for bit as in a training loop of the user."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
    """The same layer under another name, called by its loss."""

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
