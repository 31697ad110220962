"""Models that end badly, and one that does not: each is named in experiments as tests.support.failing:NAME."""

from __future__ import annotations

import os
import signal
import threading
import time

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """A linear classifier of every eighth pixel; trains very fast."""

    input_shape = (3, 32, 32)
    num_classes = 10

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 10)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.linear(x_NCHW[:, :, ::8, ::8].flatten(1))


class Raises(Tiny):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        raise KeyError("a bug of one's own")


class Hangs(Tiny):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        time.sleep(3600)
        return super().forward(x_NCHW)


class Killed(Tiny):
    def forward(self, x_NCHW: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(x_NCHW)


class Hungry(Tiny):
    """Takes one GiB per image."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        waste = torch.ones(len(x_NCHW) * 2**28, device=x_NCHW.device)
        return super().forward(x_NCHW) + waste[0]


class NoEngine(Tiny):
    """Raises cuDNN's error when no algorithm has memory for its workspace."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        raise RuntimeError("FIND was unable to find an engine to execute this computation")


class Slow(Tiny):
    """Takes a while, so that a test can interrupt it."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        time.sleep(0.02)
        return super().forward(x_NCHW)


class OwnLoss(Tiny):
    """Has its own loss."""

    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        assert logits_NK.dtype == torch.float32
        return nn.functional.cross_entropy(logits_NK, y_N, label_smoothing=0.5)


class Shapeless(nn.Module):
    """Does not state its shapes."""


class Wide(Tiny):
    """States another input shape than the data has."""

    input_shape = (3, 224, 224)


class OnRank1(Tiny):
    """Ends badly on the second of several ranks, in its third step."""

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def forward(self, x_NCHW: Tensor) -> Tensor:
        self.num_calls += self.training
        if self.num_calls == 3 and os.environ.get("RANK") == "1":
            self.end()
        return super().forward(x_NCHW)

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class RaisesOnRank1(OnRank1):
    def end(self) -> None:
        raise KeyError("a bug of one's own")


class HungryOnRank1(OnRank1):
    def end(self) -> None:
        torch.ones(2**46)


class HangsOnRank1(OnRank1):
    def end(self) -> None:
        time.sleep(3600)


class ThreadedOnRank1(Tiny):
    """Computes in a thread on the second rank, where autocast is off."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if os.environ.get("RANK") != "1":
            return super().forward(x_NCHW)
        found: list[Tensor] = []
        thread = threading.Thread(target=lambda: found.append(super(ThreadedOnRank1, self).forward(x_NCHW)))
        thread.start()
        thread.join()
        return found[0]
