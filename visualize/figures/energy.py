"""Energy of an image by batch size and recipe."""

from __future__ import annotations

from ampbench.visualize.figures.shared import measured_bars

FIGURE = measured_bars.figure(
    "joules_per_image",
    name="energy",
    title="Energy per image",
    caption=(
        "Bar: energy of the board per trained image, geometric mean of the processes; lower is better. Dot: one "
        "process. Line: from the lowest to the highest. Behind a bar: the mean, and the ratio to the reference where "
        "it was judged."
    ),
    ratio=lambda verdict: verdict.energy,
)
