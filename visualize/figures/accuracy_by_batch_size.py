"""Test accuracy by epoch: one line per batch size."""

from __future__ import annotations

from ampbench.visualize.figures.shared import batch_sizes

FIGURE = batch_sizes.figure("test_accuracy", name="test_accuracy_by_batch_size", title="Test accuracy by batch size")
