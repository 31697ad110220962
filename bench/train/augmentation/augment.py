"""From uint8 pixels to a training batch, on the device, for the whole batch at once.

    resize      to the network's input, in evaluation too
    geometry    on uint8 pixels      bench/train/augmentation/geometry.py
    colour      on fp32 pixels       bench/train/augmentation/colour.py
    normalise   in fp32, then cast   here; in evaluation too
    erasing     of what is left      bench/train/augmentation/erasing.py

Which of them a training has, and how strong, is said by `bench.plan.augmentation`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from ampbench.bench.plan.augmentation import Augmentation
from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.augmentation.colour import random_jitter
from ampbench.bench.train.augmentation.erasing import random_cutout, random_erasing
from ampbench.bench.train.augmentation.geometry import random_crop, random_flip, random_rotation, resize
from ampbench.bench.train.images.images import Images

Act = Callable[[Tensor, torch.Generator], Tensor]
"""Images (N, 3, H, W) to as many images, by draws from a generator on their device."""

ACTS: dict[str, Callable[..., Tensor]] = {
    "crop": random_crop,
    "flip": random_flip,
    "rotation": random_rotation,
    "jitter": random_jitter,
    "cutout": random_cutout,
    "erasing": random_erasing,
}
"""By the names of `bench.plan.augmentation.KINDS`; each is an `Act` once its settings are given."""

NORMALIZATIONS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation per channel, of pixels in [0, 1]; `data` takes the data set's own."""


class Normalize:
    """uint8 (N, 3, H, W) to what the model gets: `dtype`, (x / 255 - mean) / std per channel, computed in fp32.

    With `size`, images of another size are resized first; 0 takes them as they are.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        dtype: torch.dtype,
        memory_format: torch.memory_format,
        device: torch.device,
        size: int = 0,
    ) -> None:
        std_1C11 = torch.tensor(std, device=device).view(1, -1, 1, 1)
        self.factor_1C11 = 1 / (255 * std_1C11)
        self.offset_1C11 = -torch.tensor(mean, device=device).view(1, -1, 1, 1) / std_1C11
        self.dtype = dtype
        self.memory_format = memory_format
        self.size = size

    def to(self, dtype: torch.dtype) -> Normalize:
        """Return the same normalisation with results of another dtype."""
        other = copy.copy(self)
        other.dtype = dtype
        return other

    def resized(self, x_NCHW: Tensor) -> Tensor:
        """Return the pixels at the size that the model wants."""
        return resize(x_NCHW, self.size) if self.size else x_NCHW

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        """Resize what is not resized yet, normalise it and lay it out as the model wants it."""
        x = self.resized(x_NCHW).to(torch.float32, memory_format=self.memory_format)
        return torch.addcmul(self.offset_1C11, x, self.factor_1C11).to(self.dtype)


def normalize_of(cell: Cell, images: Images, dtype: torch.dtype, device: torch.device) -> Normalize:
    """Return the normalisation of a cell, which gives images of `dtype`, laid out as the cell asks."""
    mean, std = NORMALIZATIONS.get(cell.normalization, (images.mean, images.std))
    layout = torch.channels_last if cell.channels_last else torch.contiguous_format
    return Normalize(mean, std, dtype=dtype, memory_format=layout, device=device, size=cell.resize)


class Augment:
    """The training augmentation of a cell, drawn from a generator of its own so that recipes see equal images."""

    def __init__(self, texts: Iterable[str], normalize: Normalize, generator: torch.Generator) -> None:
        asked = [Augmentation.parse(text) for text in texts]
        self.normalize = normalize
        self.generator = generator
        self.on_pixels: list[Act] = [partial(ACTS[a.name], **a.settings) for a in asked if a.stage != "erasing"]
        self.on_normalized: list[Act] = [partial(ACTS[a.name], **a.settings) for a in asked if a.stage == "erasing"]

    def __call__(self, x_NCHW: Tensor) -> Tensor:
        """Resize, augment and normalise uint8 images."""
        x_NCHW = self.normalize.resized(x_NCHW)
        for act in self.on_pixels:
            x_NCHW = act(x_NCHW, self.generator)
        x_NCHW = self.normalize(x_NCHW)
        for act in self.on_normalized:
            x_NCHW = act(x_NCHW, self.generator)
        return x_NCHW
