"""Models as people write them, each with a few habits; all of them learn the digits."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from tests.habits.ending import Net
from tests.support.tiny import FromFirstInput


class Tied(Net):
    """One weight in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(512, 10)
        self.again.weight = self.linear.weight

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        return (self.linear(features) + self.again(features)) / 2


class OddParameters(Net):
    """Parameters that no step touches: unused, whole numbers, truth values."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(7, 7)
        self.steps = nn.Parameter(torch.tensor(3), requires_grad=False)
        self.mask = nn.Parameter(torch.ones(512, dtype=torch.bool), requires_grad=False)

    def forward(self, x_NCHW: Tensor) -> Any:
        return self.linear(self.features(x_NCHW) * self.mask) * self.steps / 3


class Normed(Net):
    """Weight and spectral norm, by parametrizations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = parametrizations.weight_norm(self.conv)
        self.linear = parametrizations.spectral_norm(self.linear)


class Checkpointed(Net):
    """Computes its features twice, to keep fewer."""

    def forward(self, x_NCHW: Tensor) -> Any:
        return self.linear(checkpoint(self.features, x_NCHW, use_reentrant=False))


class _Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return gradient * (s + x * s * (1 - s))


class OwnBackward(Net):
    def features(self, x_NCHW: Tensor) -> Tensor:
        return _Swish.apply(self.norm(self.conv(x_NCHW))).flatten(1)


class Lazy(FromFirstInput, Net):
    """Sizes that depend on the first images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.LazyConv2d(8, 4, stride=2, padding=1)


class DrawsByItself(Net):
    """Dropout by a generator of its own, and depth by Python's."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(1)

    def features(self, x_NCHW: Tensor) -> Tensor:
        features = super().features(x_NCHW)
        if not self.training or random.random() < 0.5:
            return features
        kept = torch.rand(features.shape, generator=self.generator) > 0.1
        return features * kept.to(features.dtype)


class Locked(Net):
    """Holds a lock, and so cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x_NCHW: Tensor) -> Any:
        with self.lock:
            return super().forward(x_NCHW)


class LateBuffers(Net):
    """A buffer that is made in the first forward pass, and one that is replaced in every forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", None)
        self.register_buffer("mean", torch.zeros(512))

    def features(self, x_NCHW: Tensor) -> Tensor:
        if self.grid is None:
            self.grid = torch.linspace(0.9, 1.1, x_NCHW.shape[3], device=x_NCHW.device, dtype=x_NCHW.dtype)
        features = super().features(x_NCHW * self.grid)
        if self.training:
            self.mean = (0.9 * self.mean + 0.1 * features.detach().mean(0)).to(self.mean.dtype)
        return features - self.mean.to(features.dtype)


class TwoThreads(Net):
    """Two halves of a batch in a pool of threads, each of which enters autocast."""

    def features(self, x_NCHW: Tensor) -> Tensor:
        kind = x_NCHW.device.type
        enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        grad = torch.is_grad_enabled()

        def half(x: Tensor) -> Tensor:
            with torch.set_grad_enabled(grad), torch.autocast(kind, dtype=dtype, enabled=enabled):
                return self.conv(x)

        with ThreadPoolExecutor(2) as pool:
            x = torch.cat(list(pool.map(half, x_NCHW.chunk(2))))
        return self.norm(x).relu().flatten(1)


class Rotary(Net):
    """Turns pairs of features by a complex buffer, in fp32 on purpose."""

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(256) / 256
        self.register_buffer("turn", torch.polar(torch.ones(256), angles), persistent=False)

    def features(self, x_NCHW: Tensor) -> Tensor:
        features = super().features(x_NCHW)
        pairs = torch.view_as_complex(features.float().reshape(-1, 256, 2))
        return torch.view_as_real(pairs * self.turn).flatten(1).to(features.dtype)


class WideStatistics(Net):
    """Sums in float64, as long runs need them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(512, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def features(self, x_NCHW: Tensor) -> Tensor:
        features = super().features(x_NCHW)
        if self.training:
            self.total += features.detach().double().sum(0)
            self.count += len(features)
        return features - (self.total / self.count.clamp(min=1)).to(features.dtype)


class CallsItself(Net):
    """Overrides `__call__`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class OwnState(Net):
    """Overrides its state to contain more."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def get_extra_state(self) -> Any:
        return {"calls": self.calls}

    def set_extra_state(self, state: Any) -> None:
        self.calls = state["calls"]

    def forward(self, x_NCHW: Tensor) -> Any:
        self.calls += self.training
        return super().forward(x_NCHW)


class MoreArguments(Net):
    """As Hugging Face writes them."""

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, return_dict: bool | None = None) -> Any:
        logits = super().forward(pixel_values)
        return {"loss": None if labels is None else F.cross_entropy(logits, labels), "logits": logits}


def sequential() -> nn.Module:
    """A factory that returns layers, with its settings as attributes."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    model.input_shape, model.num_classes = (3, 16, 16), 10
    return model


def scripted() -> nn.Module:
    """TorchScript."""
    model = torch.jit.script(sequential())
    model.input_shape, model.num_classes = (3, 16, 16), 10
    return model


class LateLayer(Net):
    """Makes its last layer when it knows the size, after the optimizer was built."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = None  # type: ignore[assignment]

    def forward(self, x_NCHW: Tensor) -> Any:
        features = self.features(x_NCHW)
        if self.linear is None:
            self.linear = nn.Linear(features.shape[1], 10).to(features)
        return self.linear(features)


class ByNumpy(Net):
    """Computes outside torch in the middle."""

    def forward(self, x_NCHW: Tensor) -> Any:
        mean = float(x_NCHW.detach().cpu().numpy().mean())
        return super().forward(x_NCHW - mean)
