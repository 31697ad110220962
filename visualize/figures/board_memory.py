"""Memory of the board over the time of a cell."""

from __future__ import annotations

from ampbench.schema.memory import MIB
from ampbench.visualize.figures.shared import board_samples

FIGURE = board_samples.figure(
    "used_bytes",
    name="board_memory",
    title="Memory of the board",
    caption="Memory in use by all processes, by NVML.",
    unit="MiB",
    divisor=MIB,
)
