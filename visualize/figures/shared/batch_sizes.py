"""What the figures by batch size share: a column of `epochs` by epoch, one line per batch size.

They answer the question of study S2 with two of its plots: accuracy and loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, curves
from ampbench.visualize.read.frame import Results

LIGHTEST = 0.8
"""The last position used on the colour map viridis: its end is too light on white."""
MARKERS = "osD^vPX<>h"


def figure(column: str, *, name: str, title: str) -> Figure:
    """Return the figure of a column, for results with several batch sizes."""
    return Figure(
        name=name,
        title=title,
        caption=(
            "Line: mean over the seeds of one batch size, from dark (the smallest) to light. Band: from the lowest to "
            "the highest seed. An epoch with a larger batch has fewer steps. Runs that did not finish are left out "
            "and named."
        ),
        draw=partial(draw, column=column),
        describe=partial(describe, column=column),
        by_recipe=True,
        shown=several,
        shared="both",
    )


def several(results: Results) -> bool:
    """Return whether any subject was trained with several batch sizes."""
    trained = results.ok[results.ok["epochs"] > 0]
    return bool((trained.groupby("subject", observed=True)["batch_size"].nunique() > 1).any())


def draw(results: Results, ax: Axes, *, column: str) -> Axes:
    """Draw a column of `epochs` by epoch.

    Args:
        results: of one subject and recipe.
        ax: drawn into, and returned.
        column: test_accuracy (drawn in percent) or train_loss.

    Raises:
        ValueError: several subjects or recipes.
    """
    rows = finished(results, column)
    if rows.empty:
        return bars.say(ax, f"No {results.label(column)}: no training finished.")
    sizes = sorted(rows["batch_size"].unique())
    looks = styles([f"batch {size}" for size in sizes])
    points = pd.DataFrame({"recipe": "batch " + rows["batch_size"].astype(str), "x": rows["epoch"], "y": rows["y"]})
    curves.draw_curves(ax, points, looks)
    note = left_out(results)
    ax.set_xlabel(results.label("epoch") + (f"\n{note}" if note else ""))
    ax.set_ylabel(results.label(column, "%") if column == "test_accuracy" else results.label(column))
    return ax


def styles(names: Sequence[str]) -> dict[str, theme.Style]:
    """Return the style of each batch size, from dark to light."""
    colours = matplotlib.colormaps["viridis"](np.linspace(0, LIGHTEST, len(names)))
    return {
        name: theme.Style(colour=to_hex(colour), marker=marker)
        for name, colour, marker in zip(names, colours, itertools.cycle(MARKERS), strict=False)
    }


def describe(results: Results, *, column: str) -> str:
    """Say in words what the figure shows."""
    rows = finished(results, column)
    last = rows[rows["epoch"] == rows.groupby("cell_id", observed=True)["epoch"].transform("max")]
    ends = ", ".join(f"batch {size} {y:.4g}" for size, y in last.groupby("batch_size")["y"].mean().items())
    return f"{results.label(column)} at the end: {ends}. {left_out(results)}".strip() if ends else left_out(results)


def finished(results: Results, column: str) -> pd.DataFrame:
    """Return the epochs of the runs that finished, with the column as y.

    Raises:
        ValueError: several subjects or recipes.
    """
    curves.one_of_each(results, "recipe")
    rows = results.epochs
    rows = rows[rows["cell_id"].isin(results.ok["cell_id"])]
    y = rows[column] * (100 if column == "test_accuracy" else 1)
    return rows.assign(y=y, batch_size=rows["batch_size"].astype(int)).dropna(subset=["y"])


def left_out(results: Results) -> str:
    """Name the batch sizes, and the seeds of drawn batch sizes, that did not finish, with status; empty if none."""
    bad = results.cells[results.cells["status"] != "ok"]
    lost = bad[~bad["batch_size"].isin(results.ok["batch_size"])]
    parts = [f"batch {_listed(own['batch_size'])} ({status})" for status, own in lost.groupby("status", sort=False)]
    partly = bad.drop(lost.index)
    for (size, status), own in partly.groupby(["batch_size", "status"], observed=True):
        parts.append(f"batch {size} seed {_listed(own['seed'])} ({status})")
    return f"Left out: {'; '.join(parts)}." if parts else ""


def _listed(numbers: pd.Series) -> str:
    return ", ".join(str(number) for number in sorted(numbers.unique()))
