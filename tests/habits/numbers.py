"""Complex numbers, float64 beside fp32, and operators that do not exist in 16 bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.habits.ending import Net


class ComplexBuffer(Net):
    """A phase that has an imaginary part alone: without it the features are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("phase", torch.full((8 * 64,), 1j))

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        turned = (features.float() * self.phase).imag
        return self.linear(turned.to(features.dtype))


class ComplexWeights(Net):
    """As in a Fourier layer: complex weights on the spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.spectral = nn.Parameter(torch.full((8 * 64,), 1 + 1j, dtype=torch.complex64))

    def forward(self, x_NCHW: Tensor) -> Any:
        turned = (self.features(x_NCHW).float() * self.spectral).imag
        return self.linear(turned)


class Float64Island(Net):
    """A product in float64 on purpose, with weights in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.exact = nn.Linear(8 * 64, 8 * 64, dtype=torch.float64)
        self.register_buffer("shift", torch.zeros(8 * 64, dtype=torch.float64))

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        with torch.autocast(x_NCHW.device.type, enabled=False):
            exact = self.exact(features.double() + self.shift)
        return self.linear(exact.to(features.dtype).relu())


class AllFloat64(Net):
    """Built in float64 throughout, as by a default dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.double()


class Float64ByHand(Net):
    """One product in float64, with no weights of its own."""

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        gram = features.double() @ features.double().mT
        return self.linear(features) + 0 * gram.mean(1, keepdim=True).to(features.dtype)


class Fp32ByHand(Net):
    """Goes to fp32 in the middle, whatever the weights are."""

    def forward(self, x_NCHW: Tensor) -> Any:
        return self.linear(self.features(x_NCHW).float())


class Fp32IntoNorm(Net):
    """The same into a norm, of whose error torch names fp32 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.LayerNorm(10)

    def forward(self, x_NCHW: Tensor) -> Any:
        return self.last(super().forward(x_NCHW).float())


class QR(Net):
    """Linear algebra, of which little exists in 16 bits."""

    def forward(self, x_NCHW: Tensor) -> Any:
        q, _ = torch.linalg.qr(self.linear.weight.mT)
        return self.linear(self.features(x_NCHW)) + 0 * q.sum()


class Fourier(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        return super().forward(torch.fft.fft2(x_NCHW).real.to(x_NCHW.dtype) / 16)


class ViewsAsComplex(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        pairs = torch.view_as_complex(features.view(len(features), -1, 2).contiguous())
        return self.linear(torch.view_as_real(pairs).flatten(1))
