"""Power of the board over the time of a cell."""

from __future__ import annotations

from ampbench.visualize.figures.shared import board_samples

FIGURE = board_samples.figure(
    "power_w",
    name="board_power",
    title="Power of the board",
    caption="Power by NVML, which on most boards is the mean of the last second.",
)
