"""Temperature of the board over the time of a cell."""

from __future__ import annotations

from ampbench.visualize.figures.shared import board_samples

FIGURE = board_samples.figure(
    "temperature_c",
    name="board_temperature",
    title="Temperature of the board",
    caption="Temperature of the die by NVML.",
)
