"""Learning rate by epoch: one line per batch size."""

from __future__ import annotations

from ampbench.visualize.figures import batch_sizes

FIGURE = batch_sizes.figure("learning_rate", name="learning_rate_by_batch_size", title="Learning rate by batch size")
