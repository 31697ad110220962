"""A small network with every kind of state, for tests of training: in experiments tests.support.tiny:Net."""

from __future__ import annotations

import threading

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """Convolution, BatchNorm, dropout, linear, on images of 8x8."""

    input_shape = (3, 8, 8)
    num_classes = 10

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.1)
        self.linear = nn.Linear(8 * 16, 10)

    def features(self, x_NCHW: Tensor) -> Tensor:
        return nn.functional.max_pool2d(self.norm(self.conv(x_NCHW)).relu(), 2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return self.linear(self.dropout(self.features(x_NCHW).flatten(1)))


class FromFirstInput(nn.Module):
    """Put before a net: its layers take their shapes from their first input, a norm with running statistics too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.LazyConv2d(8, 3, padding=1)
        self.norm = nn.LazyBatchNorm2d()
        self.linear = nn.LazyLinear(10)


class Threaded(Net):
    """Computes its features in a thread, where autocast is off: what DataParallel did to its replicas."""

    def features(self, x_NCHW: Tensor) -> Tensor:
        found: list[Tensor] = []
        thread = threading.Thread(target=lambda: found.append(super(Threaded, self).features(x_NCHW)))
        thread.start()
        thread.join()
        return found[0]


class Wide(Net):
    """With a Linear layer that fits fp8, on images of 32x32."""

    input_shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(8 * 16, 32)
        self.linear = nn.Linear(32, 10)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x_NCHW = nn.functional.adaptive_avg_pool2d(self.features(x_NCHW), 4)
        return self.linear(self.hidden(self.dropout(x_NCHW.flatten(1))).relu())


class NoGradient(Net):
    """The loss depends on no weight but the last layer's, and its gradient is zero."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return super().forward(x_NCHW) * 0


class LooksAtValues(Net):
    """Chooses a branch by the values that it computes, so that it cannot be run on shapes alone."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        logits_NK = super().forward(x_NCHW)
        return logits_NK if bool(logits_NK.sum() > 0) else -logits_NK


class NoParameters(nn.Module):
    """Nothing to train."""

    input_shape = (3, 8, 8)
    num_classes = 10

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW.flatten(1)[:, :10]


class BreaksForward(Net):
    """After 5 steps of training what its convolution is given overflows."""

    def __init__(self) -> None:
        super().__init__()
        self.num_calls = 0

    def features(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.num_calls += 1
        return super().features(x_NCHW * (float("inf") if self.num_calls > 5 else 1.0))


class _Explode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * float("inf")


class BreaksBackward(BreaksForward):
    """After 5 steps of training the gradient that leaves its BatchNorm's output is infinite; the output is not."""

    def features(self, x_NCHW: Tensor) -> Tensor:
        if self.training:
            self.num_calls += 1
        x = self.norm(self.conv(x_NCHW))
        if self.num_calls > 5:
            x = _Explode.apply(x)
        return nn.functional.max_pool2d(x.relu(), 2)


class Tupled(BreaksForward):
    """An LSTM, whose output is a tuple, overflows after 5 steps; the part of it that is used comes later."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(16, 16, batch_first=True)

    def features(self, x_NCHW: Tensor) -> Tensor:
        self.num_calls += self.training
        x_NTD = Net.features(self, x_NCHW).flatten(2)
        with torch.no_grad():
            if self.num_calls > 5:
                self.lstm.bias_hh_l0.fill_(float("nan"))
        return self.lstm(x_NTD)[0]


class Attending(BreaksForward):
    """Attention, whose output is a tuple, is given infinite values after 5 steps; a mask is infinite in all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Identity()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def features(self, x_NCHW: Tensor) -> Tensor:
        self.num_calls += self.training
        x_NTD = Net.features(self, x_NCHW).flatten(2)
        mask_TT = self.mask(torch.full((8, 8), float("-inf"), device=x_NTD.device).triu(1))
        value_NTD = x_NTD * (float("inf") if self.num_calls > 5 else 1.0)
        return self.attention(x_NTD, x_NTD, value_NTD, attn_mask=mask_TT)[0]


class BreaksLoss(BreaksForward):
    """After 5 steps its loss overflows over finite logits."""

    def features(self, x_NCHW: Tensor) -> Tensor:
        self.num_calls += self.training
        return Net.features(self, x_NCHW)

    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(logits_NK, y_N)
        return loss * (float("inf") if self.num_calls > 5 else 1.0)


SHARED: list[BreaksForward] = []


def shared() -> BreaksForward:
    """Return the same network at every call."""
    if not SHARED:
        SHARED.append(BreaksForward())
    return SHARED[0]


class Faint(Net):
    """Its loss is so small a part of cross-entropy that gradients underflow in fp16 unless its scale is above 2^18."""

    SHARE = 2.0**-18

    def loss(self, logits_NK: Tensor, y_N: Tensor) -> Tensor:
        return self.SHARE * nn.functional.cross_entropy(logits_NK, y_N)
