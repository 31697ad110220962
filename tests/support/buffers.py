"""Models whose buffers are made late, grow, are replaced or are not registered; `stateful` lists them too."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.support.tiny import Net


class LateBuffer(Net):
    """Its grid is made in the first forward pass, with a dropout drawn beside it."""

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


class WeightNormed(Net):
    """The older weight norm keeps a weight that is the result of a computation, and cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.utils.weight_norm(self.linear)
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)


class Masked(Net):
    """Has a mask of minus infinities for a buffer, as attention does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((16, 16), float("-inf")).triu(1))

    def features(self, x_NCHW: Tensor) -> Tensor:
        x_NTD = super().features(x_NCHW).flatten(2)
        return (torch.ones(8, 8).to(x_NTD) + self.mask[:8, :8].to(x_NTD)).softmax(-1) @ x_NTD


class Versioned(Net):
    """Needs to know the version of a state, as torchvision's MNASNet does."""

    _version = 2

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest) -> None:  # type: ignore[no-untyped-def]
        if local_metadata.get("version") != 2:
            raise ValueError("version should be 2")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)
