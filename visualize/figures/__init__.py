"""One file per figure: `draw(results, ax) -> Axes`, `describe(results)` (the same in words) and `FIGURE` (its record).

A figure takes the results of one subject (`results.where(subject=...)`) and, where its `FIGURE` says so, of one batch
size or one recipe; `FIGURE.panels(results)` divides the results. Each recipe has its own colour, marker and dashes,
from `theme`. To add a figure, add a file here and its name to `NAMES`. What several figures share is in
`shared/`, what a sheet of panels needs in `sheet/`.
"""

from __future__ import annotations

import importlib

from ampbench.visualize.figures.figure import Figure

NAMES = (
    "importance",
    "parallel_coordinates",
    "speedup",
    "throughput",
    "memory",
    "speed_and_memory",
    "speed_and_energy",
    "speed_and_accuracy",
    "energy",
    "time_to_accuracy",
    "accuracy",
    "loss",
    "start",
    "accuracy_by_batch_size",
    "loss_by_batch_size",
    "learning_rate",
    "loss_scale",
    "phases",
    "waterfall_time",
    "memory_timeline",
    "memory_by_purpose",
    "memory_diff",
    "waterfall_memory",
    "underflow",
    "overflow",
    "exponents",
    "lost_updates",
    "board_power",
    "board_clock",
    "board_temperature",
    "board_memory",
)
"""The files of all figures, in the order of the page."""


def load(name: str) -> Figure:
    """Return the figure of a file; only this imports the libraries that draw it."""
    figure: Figure = importlib.import_module(f"{__name__}.{name}").FIGURE
    return figure
