"""How the images of a batch come to the device, as uint8: two loaders with the same images in the same order.

device        all images stay on the device and a batch is gathered there: the GPU waits for nothing
dataloader    processes gather batches on the host and copy them over, as most training scripts do
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.images.images import Images
from ampbench.bench.train.ranks import Ranks

Batches = Iterator[tuple[Tensor, Tensor]]
"""uint8 images (N, 3, H, W) and labels (N,), on the device."""


class Loader(Protocol):
    """Brings the training images, batch by batch, in the order of an epoch."""

    def batches(self, order_N: Tensor) -> Batches:
        """Return the images of one step after the other; `order_N` is int64, on the CPU."""


def loader_of(cell: Cell, images: Images, device: torch.device, ranks: Ranks) -> Loader:
    """Return the loader that a cell asks for."""
    kinds: dict[str, type[DeviceLoader | HostLoader]] = {"device": DeviceLoader, "dataloader": HostLoader}
    return kinds[cell.loader](cell, images, device, ranks)


class DeviceLoader:
    """Gathers on the device, where the images are."""

    def __init__(self, cell: Cell, images: Images, device: torch.device, ranks: Ranks) -> None:
        self.cell, self.device, self.ranks = cell, device, ranks
        self.x_NCHW, self.y_N = images.train_x_NCHW, images.train_y_N

    def batches(self, order_N: Tensor) -> Batches:
        """Return the images of one step after the other. Waits for nothing: an epoch's border is on the clock."""
        if self.device.type == "cuda":
            order_N = order_N.pin_memory().to(self.device, non_blocking=True)
        for chosen_N in split_by_step(order_N, self.cell, self.ranks):
            yield self.x_NCHW[chosen_N], self.y_N[chosen_N]


class HostLoader:
    """torch's DataLoader over images on the host; its processes stay from epoch to epoch."""

    def __init__(self, cell: Cell, images: Images, device: torch.device, ranks: Ranks) -> None:
        self.cell, self.device, self.ranks = cell, device, ranks
        self._indices: list[list[int]] = []  # of an epoch, by step; the sampler is read anew at each start
        self._loader = DataLoader(
            TensorDataset(images.train_x_NCHW, images.train_y_N),
            batch_sampler=self._indices,
            num_workers=cell.num_workers,
            persistent_workers=cell.num_workers > 0,
            prefetch_factor=cell.prefetch_factor if cell.num_workers else None,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # it draws a seed for its processes, which must not be dropout's next number
        )

    def batches(self, order_N: Tensor) -> Batches:
        """Return the images of one step after the other, copied while the device is still at earlier ones."""
        self._indices[:] = [chosen_N.tolist() for chosen_N in split_by_step(order_N, self.cell, self.ranks)]
        for x_NCHW, y_N in self._loader:
            yield x_NCHW.to(self.device, non_blocking=True), y_N.to(self.device, non_blocking=True)


def split_by_step(order_N: Tensor, cell: Cell, ranks: Ranks) -> Iterator[Tensor]:
    """Return the indices of each step; of ranks, every one takes its own of them."""
    for chosen_N in order_N.split(cell.global_batch_size):
        if len(chosen_N) == cell.global_batch_size or not cell.drop_last:
            yield chosen_N[ranks.rank :: ranks.world_size]
