"""Where a step's time goes: one stacked bar a recipe, from the batch to the update."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import bars, theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

SHADES = {"data_ms": 0.25, "forward_ms": 0.55, "backward_ms": 0.85, "update_ms": 1.0}
"""Phase, in the order of a step -> how much of the recipe's colour its part of the bar has."""
NARROW = 0.07
"""Of the longest bar: a part below it has no room for its number."""


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the milliseconds of a step's phases, stacked, one bar a recipe, from zero.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.
    """
    spent = by_recipe(results)
    if spent.empty:
        return bars.say(ax, "No phases were measured, so there are none to draw.")
    longest = spent.sum(axis=1).max()
    for y, (recipe, row) in enumerate(spent.iterrows()):
        style, begin = theme.styles_of(results)[str(recipe)], 0.0
        for phase, shade in SHADES.items():
            ms = row[phase]
            ax.barh(y, ms, 0.7, left=begin, color=style.colour, alpha=shade, edgecolor="white", linewidth=0.8, zorder=2)
            if ms >= NARROW * longest:
                ink = "white" if shade > 0.5 else "#222222"
                ax.text(begin + ms / 2, y, f"{ms:,.3g}", ha="center", va="center", color=ink, fontsize=8.5, zorder=3)
            begin += ms
    ax.set_yticks(range(len(spent)), [str(recipe) for recipe in spent.index])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1.04 * longest)
    ax.set_xlabel("data, forward, backward, update (ms)")
    return ax


def by_recipe(results: Results) -> pd.DataFrame:
    """Return ms of each phase, a column, by recipe, in the order of every legend."""
    ok = results.ok
    spent = ok.groupby(ok["recipe"].astype(str))[list(SHADES)].mean().dropna()
    return spent.reindex(in_order(spent.index))


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    parts = [
        f"{recipe} " + ", ".join(f"{phase.removesuffix('_ms')} {row[phase]:.3g}" for phase in SHADES)
        for recipe, row in by_recipe(results).iterrows()
    ]
    return "Stacked bars of the ms of a step. " + "; ".join(parts) + "."


FIGURE = Figure(
    name="phases_of_a_step",
    title="Phases of a step",
    caption=(
        "Median time of each phase over a few untimed steps, on the device's clock, mean of the processes; from left "
        "to right, pale to full: data (until the batch is there), forward, backward, update (unscaling, optimizer, "
        "scaler). Marks between the phases cost a little, so their sum is no step time."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=lambda results: not by_recipe(results).empty,
)
