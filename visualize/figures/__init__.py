"""One figure a file: `draw(results, ax) -> Axes`, `describe(results)`, the same in words, and `FIGURE`, what it is.

A figure takes the results of one subject (`results.where(subject=...)`), and of one batch size or recipe where its
`FIGURE` says so; `FIGURE.panels(results)` divides them. Colours, markers and dashes are the recipe's own, from
`theme`. A new figure is a file here and its line in `NAMES`; files without a `FIGURE` are what several figures share.
"""

from __future__ import annotations

import importlib

from ampbench.visualize.figures.figure import Figure

NAMES = (
    "throughput",
    "accuracy",
    "loss",
    "memory",
    "accuracy_by_batch_size",
    "loss_by_batch_size",
    "learning_rate_by_batch_size",
    "loss_scale",
    "phases",
    "memory_timeline",
    "memory_diff",
    "underflow",
    "exponents",
    "lost_updates",
)
"""The files of all figures, in the order of the page."""


def load(name: str) -> Figure:
    """Return the figure of a file, whose drawing libraries are imported only now."""
    figure: Figure = importlib.import_module(f"{__name__}.{name}").FIGURE
    return figure
