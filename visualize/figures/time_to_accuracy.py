"""Training time until the target accuracy was first reached, by batch size and recipe."""

from __future__ import annotations

from ampbench.visualize.figures.shared import measured_bars

FIGURE = measured_bars.figure(
    "time_to_accuracy_s",
    name="time_to_accuracy",
    title="Time to accuracy",
    caption=(
        "Bar: training time until [measure] target_accuracy was first reached, geometric mean of the trainings that "
        "reached it; lower is better. Dot: one training. Line: from the shortest to the longest."
    ),
    missing="target not reached",
)
