"""How long a whole training takes at a measured speed."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

STUDIED_EPOCHS = 200
"""Epochs of a training where a plan only times steps: those of study S3 on CIFAR-10."""
STUDIED_IMAGES = 50_000
"""Training images where the data is random: those of CIFAR-10, whose size they have."""
HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """A training from its first to its last epoch, as one would run it for real."""

    epochs: int
    num_images: int
    """In the training set."""
    is_usual: bool
    """Whether the epochs are those of a usual training, since nobody said how many."""
    assumed: str
    """What is not in the plan, as in ` of 50,000 images`; empty if all is."""

    def seconds(self, images_per_s: float) -> float:
        """Return about how long it takes, without evaluation."""
        return self.epochs * self.num_images / images_per_s

    @property
    def words(self) -> str:
        """As in `200 epochs of 50,000 images`."""
        return f"{self.epochs} epochs{self.assumed}"


def training_of(cells: pd.DataFrame, epochs: int | None = None) -> Training | None:
    """Return the training that cells of one subject stand for; None if the size of its data is unknown.

    Args:
        cells: of one subject.
        epochs: that the reader has in mind; by default those of the cells, or of a usual training.
    """
    epochs = epochs or (int(cells["epochs"].max()) if len(cells) else 0)
    images = cells["num_train_images"].dropna() if "num_train_images" in cells else pd.Series(dtype=float)
    drawn = bool(len(cells)) and str(cells["data"].iloc[0]) == "synthetic"
    if images.empty and not drawn:
        return None
    num_images = STUDIED_IMAGES if drawn else int(images.iloc[0])
    assumed = f" of {num_images:,} images" if drawn or not epochs else ""
    return Training(epochs=epochs or STUDIED_EPOCHS, num_images=num_images, is_usual=not epochs, assumed=assumed)
