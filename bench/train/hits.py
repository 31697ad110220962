"""How many training images the network gets right, counted on the device as they are met.

The logits are there for the loss, so it costs no second forward; of the epoch's images each was seen augmented, and
by the weights before its own step. That is the accuracy which training scripts print beside their loss. It is lower
than that of the finished epoch's weights on plain images.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Hits:
    """Images of this epoch, of this rank, whose label has the largest logit; nothing here waits for the device."""

    def __init__(self, device: torch.device, num_classes: int) -> None:
        self.device = device
        self.num_classes = num_classes
        self.open_epoch()

    def open_epoch(self) -> None:
        """Count from 0 again."""
        self.num_images = 0
        """Counted so far."""
        self.correct: Tensor | None = torch.zeros((), dtype=torch.int64, device=self.device)
        """Of these; a new tensor after every batch, so that a step may keep its own. None: outputs are no logits."""

    def __call__(self, logits_NK: Tensor, y_N: Tensor) -> None:
        """Count a batch, or a part of one."""
        self.num_images += len(y_N)
        if logits_NK.shape != (len(y_N), self.num_classes):
            self.correct = None
        elif self.correct is not None:
            self.correct = self.correct + (logits_NK.argmax(1) == y_N).sum()


def not_counted(_logits_NK: Tensor, _y_N: Tensor) -> None:
    """Count nothing, where nobody asks."""
