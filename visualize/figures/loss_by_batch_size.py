"""Training loss by epoch: one line per batch size."""

from __future__ import annotations

from ampbench.visualize.figures.shared import batch_sizes

FIGURE = batch_sizes.figure("train_loss", name="training_loss_by_batch_size", title="Training loss by batch size")
