"""From uint8 pixels to a training batch, on the device: crop, flip, normalise, for the whole batch at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4
"""Pixels of zeros around an image before the random crop."""


def random_crop(x_NCHW: Tensor, dy_N: Tensor, dx_N: Tensor) -> Tensor:
    """Crop each image out of its zero-padded self at its own offset in [0, 2 * PADDING].

    The windows are a view of the padded batch (nothing is copied for it); indexing picks one an image.
    """
    size_H, size_W = x_NCHW.shape[2:]
    padded = F.pad(x_NCHW, (PADDING,) * 4)
    windows_NCyxHW = padded.unfold(2, size_H, 1).unfold(3, size_W, 1)
    n_N = torch.arange(len(x_NCHW), device=x_NCHW.device)
    return windows_NCyxHW[n_N, :, dy_N, dx_N]


def random_flip(x_NCHW: Tensor, flip_N: Tensor) -> Tensor:
    """Mirror the images whose entry in `flip_N` (bool) is set."""
    return torch.where(flip_N[:, None, None, None], x_NCHW.flip(3), x_NCHW)


class Normalize:
    """uint8 (N, 3, H, W) to `dtype`: (x / 255 - mean) / std per channel, computed in fp32."""

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        dtype: torch.dtype,
        memory_format: torch.memory_format,
        device: torch.device,
    ) -> None:
        std_1C11 = torch.tensor(std, device=device).view(1, -1, 1, 1)
        self.factor_1C11 = 1 / (255 * std_1C11)
        self.offset_1C11 = -torch.tensor(mean, device=device).view(1, -1, 1, 1) / std_1C11
        self.dtype = dtype
        self.memory_format = memory_format

    def to(self, dtype: torch.dtype) -> Normalize:
        """Return the same normalisation with results of another dtype."""
        other = copy.copy(self)
        other.dtype = dtype
        return other

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        """Normalise a batch and lay it out as the model wants it."""
        x = x_NCHW.to(torch.float32, memory_format=self.memory_format)
        return torch.addcmul(self.offset_1C11, x, self.factor_1C11).to(self.dtype)


class Augment:
    """The training augmentation of a cell, drawn from a generator of its own so that recipes see equal images."""

    def __init__(self, names: Sequence[str], normalize: Normalize, generator: torch.Generator) -> None:
        self.names = names
        self.normalize = normalize
        self.generator = generator

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        """Augment and normalise uint8 images."""
        count, device = len(x_NCHW), x_NCHW.device
        if "crop" in self.names:
            offset_2N = torch.randint(0, 2 * PADDING + 1, (2, count), generator=self.generator, device=device)
            x_NCHW = random_crop(x_NCHW, offset_2N[0], offset_2N[1])
        if "flip" in self.names:
            flip_N = torch.rand(count, generator=self.generator, device=device) < 0.5
            x_NCHW = random_flip(x_NCHW, flip_N)
        return self.normalize(x_NCHW)
