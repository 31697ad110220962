"""How many training images the network gets right, counted on the device while it trains.

The logits are there for the loss, so no second forward pass is needed. Each image is seen augmented, and by the weights
before its own step. That is the accuracy which training scripts print beside their loss. It is lower
than that of the finished epoch's weights on plain images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.train.outputs import has_own_classes, logits_of, predicted_classes
from ampbench.bench.train.ranks import Ranks


class Hits:
    """Images of this epoch, of this rank, whose label has the largest logit; nothing here waits for the device."""

    def __init__(self, device: torch.device, num_classes: int, model: nn.Module | None = None) -> None:
        self.device = device
        self.num_classes = num_classes
        self.model = nn.Identity() if model is None else model  # a model may raise in __len__, so no `or`
        """May say by `classes_of` which class it means."""
        self.open_epoch()

    def open_epoch(self) -> None:
        """Count from 0 again."""
        self.num_images = 0
        """Counted so far."""
        self.correct: Tensor | None = torch.zeros((), dtype=torch.int64, device=self.device)
        """Of these; a new tensor after every batch, so that a step may keep its own. None: outputs are no logits."""

    def total(self, ranks: Ranks) -> tuple[int | None, int]:
        """Return how many images of this epoch so far the network got right, and of how many, over all ranks.

        Waits for the device. None where the outputs are no logits.
        """
        num_images = self.num_images * ranks.world_size
        if self.correct is None:
            return None, num_images
        correct = self.correct.clone()
        ranks.add_up([correct])
        return int(correct), num_images

    def __call__(self, output: Any, y_N: Tensor) -> None:
        """Count a batch, or a part of one, by what the model returned."""
        self.num_images += len(y_N)
        if not has_own_classes(self.model) and logits_of(output).shape != (len(y_N), self.num_classes):
            self.correct = None
        elif self.correct is not None:
            self.correct = self.correct + (predicted_classes(self.model, output, len(y_N)) == y_N).sum()


def not_counted(_output: Any, _y_N: Tensor) -> None:
    """Count nothing, where nobody asks."""
