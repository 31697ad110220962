"""Models whose state is more than their weights: each is named in experiments as tests.support.stateful:NAME.

Every one of them computes with what it holds, so that a state that is not restored, or not saved, changes the losses.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter, deque

import numpy as np
import torch
from torch import Tensor, nn

from tests.support.buffers import (
    GrowingBuffer,
    LateBuffer,
    Masked,
    PlainTensor,
    RegisteredLate,
    ReplacedBuffer,
    Versioned,
    WeightNormed,
)
from tests.support.tiny import Net


class Counting(Net):
    """Counts its calls, in itself, in its class and in a variable of its module, and computes with the counts."""

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
    """Keeps past values in a deque, a dictionary, a set and an array."""

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
    """Holds a lock, which cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x_NCHW: Tensor) -> Tensor:
        with self.lock:
            return super().forward(x_NCHW)


class Lambda(Net):
    """Computes through a lambda that holds on to the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.head = lambda x: self.linear(x)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.head(self.dropout(self.features(x_NCHW).flatten(1)))


class MakesItsOwn(Net):
    """Makes its state in its first training step: generators, an array, an object, tensors that are one."""

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


class HalfUsedUp(Net):
    """Advances an iterator, whose position cannot be read."""

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
"""Models whose whole state a numerics sample can restore."""
