"""Clock of the board over the time of a cell."""

from __future__ import annotations

from ampbench.visualize.figures.shared import board_samples

FIGURE = board_samples.figure(
    "sm_clock_mhz",
    name="board_clock",
    title="Clock of the board",
    caption="Clock of the multiprocessors by NVML.",
)
