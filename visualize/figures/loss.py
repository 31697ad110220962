"""Training loss by step: each point is the mean over a window of steps, whose length the axis label gives."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, curves
from ampbench.visualize.read.frame import Results

MOST_POINTS = 150
"""Most points of a curve; at the size of a page more points would show only noise."""


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the training loss by step.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.

    Raises:
        ValueError: several subjects or batch sizes.
    """
    ids = curves.trained(results)
    steps = results.steps if ids else pd.DataFrame({"cell_id": [], "loss": []})
    steps = steps[steps["cell_id"].isin(ids)]
    if steps["loss"].dropna().empty:
        reason = "no loss was recorded" if ids else "no training finished"
        return bars.say(ax, f"No training loss: {reason}.")
    points, length = windows(steps)
    end = curves.share_at_the_end(results.ok["epochs"].max())
    curves.draw_curves(ax, points, theme.styles_of(results), enlarged=end, from_zero=True)
    words = results.label("step") + (f" (each point the mean of {length:,} steps)" if length > 1 else "")
    ax.set_xlabel(curves.x_label(results, words))
    ax.set_ylabel(results.label("loss"))
    return ax


def windows(steps: pd.DataFrame, most: int = MOST_POINTS) -> tuple[pd.DataFrame, int]:
    """Average the loss over windows of equal length, which do not overlap.

    Returns:
        Columns recipe, x (last step of the window), y, one row per cell and window; and the window's length in steps.
    """
    length = math.ceil(steps["step"].max() / most)
    cells, window = steps["cell_id"].cat.codes.to_numpy(), (steps["step"].to_numpy() - 1) // length
    width = int(window.max()) + 1
    place = cells * np.int64(width) + window
    size = width * len(steps["cell_id"].cat.categories)
    counts = np.bincount(place, minlength=size)
    filled = np.flatnonzero(counts)
    mean = np.bincount(place, weights=steps["loss"].to_numpy(), minlength=size)[filled] / counts[filled]
    recipe_of = steps.drop_duplicates("cell_id").set_index("cell_id")["recipe"].astype(str)
    ids = steps["cell_id"].cat.categories[filled // width]
    points = pd.DataFrame({"recipe": recipe_of.loc[ids].to_numpy(), "x": (filled % width + 1) * length, "y": mean})
    return points, length


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    recipes = ", ".join(dict.fromkeys(results.ok.loc[results.ok["epochs"] > 0, "recipe"].astype(str)))
    return f"Training loss by step for {recipes}. {curves.left_out(results)}".strip()


def shown(results: Results) -> bool:
    """Return whether any training finished and recorded its steps, and not of a lone recipe (see `accuracy`)."""
    trained = results.ok[results.ok["epochs"] > 0]
    recorded = trained["cell_id"].isin(results.load("steps")["cell_id"].unique()).any()
    return bool(recorded) and not curves.only_batch_sizes(trained)


FIGURE = Figure(
    name="loss",
    title="Loss",
    caption=(
        "Point: mean loss over a window of steps, whose length the axis gives; windows do not overlap (no running "
        "mean). Line: mean over seeds. Band: from the lowest to the highest seed. Inset: the end, as in the figure of "
        "the accuracy."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    by_batch_size=True,
    shared="y",
)
