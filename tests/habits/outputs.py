"""What models return, and losses of their own."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.habits.ending import Net


class WithFeatures(Net):
    """A tuple: logits and what they were made of."""

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        return self.linear(features), features


class AsList(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        return [self.linear(self.features(x_NCHW)), None, "no tensor"]


class AsDict(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        return OrderedDict(features=features, logits=self.linear(features))


class Pair(NamedTuple):
    features: Tensor
    logits: Tensor


class AsNamedTuple(Net):
    """A tuple whose first element is not the logits."""

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        return Pair(features, self.linear(features))


@dataclass(frozen=True)
class Output:
    """As Hugging Face's ModelOutput: a loss that was not asked for, then logits."""

    loss: Tensor | None
    logits: Tensor


class AsDataclass(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        return Output(None, self.linear(self.features(x_NCHW)))


class Auxiliary(Net):
    """A second head that is there in training only, as in Inception, and a loss of its own that uses it."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(8 * 64, 10)

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        logits = self.linear(features)
        return (logits, self.auxiliary(features)) if self.training else logits

    def loss(self, output: Any, y_N: Tensor) -> Tensor:
        if not isinstance(output, tuple):
            return F.cross_entropy(output, y_N)
        assert all(x.dtype == torch.float32 for x in output)
        return F.cross_entropy(output[0], y_N) + 0.3 * F.cross_entropy(output[1], y_N)


class AuxiliaryAlways(Auxiliary):
    """The same with a loss that knows what is returned in training only."""

    def loss(self, output: Any, y_N: Tensor) -> Tensor:
        logits, more = output
        return F.cross_entropy(logits, y_N) + 0.3 * F.cross_entropy(more, y_N)


class FieldOfAnotherName(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        return {"prediction": super().forward(x_NCHW)}


class TooWide(Net):
    """A head of 12 for 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8 * 64, 12)


class Spatial(Net):
    """Forgets to pool: logits (N, K, 1, 1)."""

    def forward(self, x_NCHW: Tensor) -> Any:
        return super().forward(x_NCHW)[:, :, None, None]


class Guesses(Net):
    """Returns classes where logits are wanted."""

    def forward(self, x_NCHW: Tensor) -> Any:
        return F.one_hot(super().forward(x_NCHW).argmax(1), 10)


class Detached(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        return super().forward(x_NCHW).detach()


class OneLogit(Net):
    """One logit an image, of which the sign says the class: even or odd digit; the label is taken for its parity."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8 * 64, 1)

    def loss(self, logits_N1: Tensor, y_N: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits_N1.squeeze(1), (y_N % 2).float())


class OneLogitRead(OneLogit):
    """The same, and it says how a class is read."""

    def classes_of(self, logits_N1: Tensor) -> Tensor:
        return (logits_N1 > 0).squeeze(1)


class ClassesBeyond(OneLogit):
    def classes_of(self, logits_N1: Tensor) -> Tensor:
        return torch.full((len(logits_N1),), 10)


class ClassesAsShares(OneLogit):
    def classes_of(self, logits_N1: Tensor) -> Tensor:
        return logits_N1.sigmoid()


class SumLoss(Net):
    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(logits_NK, y_N, reduction="sum")


class MeanLoss(Net):
    """As a module, which is callable too."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.CrossEntropyLoss()


class WeightedLoss(Net):
    """Weighted by class: neither a mean nor a sum over the images."""

    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(logits_NK, y_N, weight=torch.arange(1.0, 11.0, device=y_N.device))


class LossOfEach(Net):
    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(logits_NK, y_N, reduction="none")


class LossOfShape1(Net):
    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(logits_NK, y_N)[None]


class LossAsNumber(Net):
    def loss(self, logits_NK: Tensor, y_N: Tensor) -> float:
        return F.cross_entropy(logits_NK, y_N).item()


class LossOfThree(Net):
    """A loss that unpacks more than the model returns."""

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        logits, _, _ = output
        return F.cross_entropy(logits, y_N)


class BoundLoss(Net):
    """Its loss reads targets that the last forward kept, as of a teacher."""

    def forward(self, x_NCHW: Tensor) -> Any:
        logits = super().forward(x_NCHW)
        self.targets_NK = logits.detach().float().softmax(1)
        return logits

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        return F.cross_entropy(output, y_N) + 0 * F.mse_loss(output.softmax(1), self.targets_NK)


class PairsLoss(Net):
    """Its loss compares the images of a batch with one another, and has memory for 200 of them."""

    def loss(self, output: Tensor, y_N: Tensor) -> Tensor:
        if len(y_N) > 200:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return F.cross_entropy(output, y_N) + 0.1 * (output @ output.mT).logsumexp(1).mean()


class CountingLoss(SumLoss):
    """Counts its calls, like a running statistic of a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        self.calls += 1
        return super().loss(logits_NK, y_N)
