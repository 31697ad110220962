"""Models that hold more than weights and say so late: each is named in experiments as tests.stateful:NAME.

Every one of them computes with what it holds, so that a state that is not put back, or not kept, changes the losses.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter, deque

import numpy as np
import torch
from torch import Tensor, nn

from tests.support.tiny import Net


class LateBuffer(Net):
    """Its grid is there from the first forward pass on, with a dropout drawn beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", None)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.grid is None:
            self.grid = torch.linspace(-1, 1, x_NCHW.shape[-1]) * torch.rand(x_NCHW.shape[-1])
        return super().forward(x_NCHW + self.grid.to(x_NCHW))


class RegisteredLate(Net):
    """Registers a buffer in its first forward pass, and one that no state_dict has."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if "shift" not in self._buffers:
            self.register_buffer("shift", torch.rand(3, 1, 1))
            self.register_buffer("hidden", torch.rand(3, 1, 1), persistent=False)
        return super().forward(x_NCHW + (self.shift * self.hidden).to(x_NCHW))


class ReplacedBuffer(Net):
    """Puts a new tensor in its buffer's place in every training step."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3, 8, 8))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x_NCHW.mean(0).detach().to(self.mean)
        return super().forward(x_NCHW - self.mean.to(x_NCHW))


class GrowingBuffer(Net):
    """Its buffer is longer after every training step, up to a length."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(0))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.seen = torch.cat((self.seen, x_NCHW.detach().float().mean().view(1).to(self.seen)))[-7:]
        return super().forward(x_NCHW + self.seen.sum().to(x_NCHW))


class PlainTensor(Net):
    """Keeps a tensor that is no buffer, written in place, and its last features with their graph."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = torch.zeros(3, 8, 8)
        self.last: Tensor | None = None

    def features(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.memory.mul_(0.9).add_(x_NCHW.detach().float().mean(0).to(self.memory))
        self.last = super().features(x_NCHW + 0.1 * self.memory.to(x_NCHW))
        return self.last


class Counting(Net):
    """Counts its calls, in itself, in its class and in a variable of its module, and goes by the counts."""

    shared = 0

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return super().forward(x_NCHW * (1 + self.calls % 3))


class CountingElsewhere(Net):
    """Counts its calls in its class, in a closure and in a variable of its module."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        calls = 0

        def count() -> int:
            nonlocal calls
            calls += 1
            return calls

        self.count = count

    def forward(self, x_NCHW: Tensor) -> Tensor:
        global CALLS
        if self.training:
            CALLS += 1
            type(self).calls += 1
        return super().forward(x_NCHW * (1 + self.count() % 3 + CALLS % 2 + type(self).calls % 5))


CALLS = 0


class Recurrent(Net):
    """An LSTM behind the convolution, whose hidden state is carried from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 16, batch_first=True)
        self.hidden: tuple[Tensor, Tensor] | None = None

    def features(self, x_NCHW: Tensor) -> Tensor:
        x_NTD = super().features(x_NCHW).flatten(2)
        start = None if self.hidden is None or self.hidden[0].shape[1] != len(x_NTD) else self.hidden
        out_NTD, hidden = self.lstm(x_NTD, start)
        if self.training:
            self.hidden = (hidden[0].detach(), hidden[1].detach())
        return out_NTD


class Drawing(Net):
    """Draws from Python's generator, NumPy's, and one of each kind of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.torchs = torch.Generator().manual_seed(0)
        self.pythons = random.Random(0)
        self.numpys = np.random.default_rng(0)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_NCHW)
        drawn = random.random() + np.random.rand() + self.pythons.random() + self.numpys.random()
        return super().forward(x_NCHW * (drawn + float(torch.rand((), generator=self.torchs))))


class Containers(Net):
    """Keeps its past in a deque, a dictionary, a set and an array."""

    def __init__(self) -> None:
        super().__init__()
        self.past: deque[float] = deque(maxlen=3)
        self.table: dict[str, list[int]] = {"steps": []}
        self.sizes: set[int] = set()
        self.total = np.zeros(2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.past.append(len(self.table["steps"]) % 4)
            self.table["steps"].append(len(x_NCHW))
            self.sizes.add(len(self.table["steps"]) % 5)
            self.total += 1
        return super().forward(x_NCHW * (1 + sum(self.past) + len(self.sizes) + self.total[0] % 3))


class Locked(Net):
    """Holds a lock, of which there is no copy."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        with self.lock:
            return super().forward(x_NCHW)


class WeightNormed(Net):
    """The older weight norm keeps a weight that is the result of a computation, and cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.utils.weight_norm(self.linear)
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)


class Lambda(Net):
    """Computes through a lambda that holds on to the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.head = lambda x: self.linear(x)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(x_NCHW).flatten(1)))


class MakesItsOwn(Net):
    """Makes all it holds in its first training step: generators, an array, an object, tensors that are one."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.training and not hasattr(self, "torchs"):
            self.torchs = torch.Generator().manual_seed(1)
            self.pythons = random.Random(1)
            self.numpys = np.random.RandomState(1)
            self.pcgs = np.random.default_rng(1)
            self.counts = Counter({"calls": 0})
            self.array = np.ones((2, 2), np.float32)
            self.one = self.two = torch.ones(3, 1, 1)
            self.steps = np.int64(0)
            self.turn = complex(1, 0)
        if self.training:
            self.counts["calls"] += 1
            self.array *= 1.1
            self.one.add_(0.1)
            self.steps += np.int64(1)
            drawn = self.pythons.random() + self.numpys.rand() + self.pcgs.random()
            drawn += float(torch.rand((), generator=self.torchs)) + float(self.array.sum()) + self.turn.real
            x_NCHW = x_NCHW * (self.two * drawn * self.counts["calls"] / int(self.steps)).to(x_NCHW)
        return super().forward(x_NCHW)


class Masked(Net):
    """Has a mask of minus infinities for a buffer, as attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((16, 16), float("-inf")).triu(1))

    def features(self, x_NCHW: Tensor) -> Tensor:
        x_NTD = super().features(x_NCHW).flatten(2)
        return (torch.ones(8, 8).to(x_NTD) + self.mask[:8, :8].to(x_NTD)).softmax(-1) @ x_NTD


class Versioned(Net):
    """Wants to know of which version a state is, as torchvision's MNASNet does."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest) -> None:  # type: ignore[no-untyped-def]
        if local_metadata.get("version") != 2:
            raise ValueError("version should be 2")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


class HalfUsedUp(Net):
    """Goes through an iterator, and nobody can say how far it has come."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = itertools.cycle([1.0, 0.5, 2.0])

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return super().forward(x_NCHW * (next(self.scales) if self.training else 1.0))


RESTORED = (
    LateBuffer,
    RegisteredLate,
    ReplacedBuffer,
    GrowingBuffer,
    PlainTensor,
    Counting,
    CountingElsewhere,
    Recurrent,
    Drawing,
    Containers,
    Locked,
    WeightNormed,
    Lambda,
    MakesItsOwn,
    Masked,
    Versioned,
)
"""Of which a look can put everything back."""
