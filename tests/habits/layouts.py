"""Models that fail in NHWC, or with an override that returns nothing."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.habits.ending import Net


class Views(Net):
    """`view` after pooling, where only `flatten` works for every layout."""

    def features(self, x_NCHW: Tensor) -> Tensor:
        x = self.norm(self.conv(x_NCHW)).relu()
        return x.view(-1, 512)


class AssertsLayout(Net):
    def forward(self, x_NCHW: Tensor) -> Any:
        assert x_NCHW.is_contiguous()
        return super().forward(x_NCHW)


class ViewsInEvaluation(Net):
    def features(self, x_NCHW: Tensor) -> Tensor:
        x = self.norm(self.conv(x_NCHW)).relu()
        return x.flatten(1) if self.training else x.view(-1, 512)


class ViewsAfterDropout(Views):
    """Draws random numbers and moves statistics before it fails."""

    def forward(self, x_NCHW: Tensor) -> Any:
        return super().forward(F.dropout(x_NCHW, 0.1, self.training))


class Conv3d(Net):
    """A video net on one frame, with 5-d weights and a 5-d buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, (1, 4, 4), stride=(1, 2, 2), padding=(0, 1, 1))
        self.register_buffer("gain", torch.ones(1, 8, 1, 1, 1))

    def features(self, x_NCHW: Tensor) -> Tensor:
        x = (self.conv(x_NCHW[:, :, None]) * self.gain).squeeze(2)
        return self.norm(x).relu().flatten(1)


class Conv1d(Net):
    """Rows of pixels as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(3, 8, 5, padding=2)

    def features(self, x_NCHW: Tensor) -> Tensor:
        x = self.conv1d(x_NCHW.flatten(2)).unflatten(2, (16, 16))
        return F.max_pool2d(self.norm(x).relu(), 2).flatten(1)


class NoReturns(Net):
    """Overrides what returns the model, and returns nothing; `to` moves a tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = torch.zeros(1)

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.norm.eval()

    def eval(self) -> None:  # type: ignore[override]
        self.train(False)

    def to(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().to(*args, **kwargs)
        self.shift = self.shift.to(*args, **kwargs)

    def float(self) -> None:  # type: ignore[override]
        super().float()

    def forward(self, x_NCHW: Tensor) -> Any:
        return super().forward(x_NCHW + self.shift.to(x_NCHW.dtype))
