"""The training batches of a cell: epoch after epoch in a new order, augmented, on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.augmentation.augment import Augment, Normalize
from ampbench.bench.train.images.images import Images
from ampbench.bench.train.images.loader import loader_of
from ampbench.bench.train.ranks import Ranks


class Batches:
    """The batches of one training, or a rank's share of each: ranks together see what one process would.

    Two random generators of its own stand behind them, apart from the one of the weights. All ranks draw the same
    order of the images; the augmentation of its own images each rank draws for itself.
    """

    def __init__(self, cell: Cell, images: Images, device: torch.device, normalize: Normalize, ranks: Ranks) -> None:
        self.num_images = len(images.train_y_N)
        """Of the training set."""
        self.global_batch_size = cell.global_batch_size
        self.drop_last = cell.drop_last
        self.loader = loader_of(cell, images, device, ranks)
        # Drawn on the CPU, where the same seed gives the same permutation on every machine.
        self.order = torch.Generator().manual_seed(cell.seed)
        self.augment = Augment(cell.augment, normalize, torch.Generator(device).manual_seed(ranks.own_seed(cell.seed)))

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the training images."""
        full, rest = divmod(self.num_images, self.global_batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def generators(self) -> dict[str, torch.Generator]:
        """The two random generators, by name."""
        return {"order": self.order, "augment": self.augment.generator}

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return images (N, 3, H, W), augmented, and labels (N,), batch by batch, of one pass in a new order."""
        order_N = torch.randperm(self.num_images, generator=self.order)
        for x_NCHW, y_N in self.loader.batches(order_N):
            yield self.augment(x_NCHW), y_N

    def state_dict(self) -> dict[str, Any]:
        """Return what the order and the augmentation of the next epoch depend on; every rank has its own."""
        return {name: generator.get_state() for name, generator in self.generators.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it back."""
        for name, generator in self.generators.items():
            generator.set_state(state[name])


def refuse_large_batch(cell: Cell, images: Images) -> None:
    """Refuse a batch that the training set cannot fill.

    Raises:
        ValueError: it is larger than the training set.
    """
    if cell.global_batch_size > len(images.train_y_N):
        raise ValueError(
            f"batch_size = {cell.batch_size}{f' on each of {cell.gpus} GPUs' if cell.gpus > 1 else ''} is more "
            f"than the {len(images.train_y_N)} training images; choose a smaller one"
        )
