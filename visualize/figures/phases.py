"""How the time of a step is divided: one stacked bar per recipe, from the batch to the update."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from ampbench.schema.column import columns_of
from ampbench.schema.work import StepPhases
from ampbench.visualize.figures import bars, theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

PHASES = columns_of(StepPhases)
"""In the order of a step."""
SHADES = (0.25, 0.55, 0.85, 1.0)
"""Opacity of the recipe's colour in the part of each phase."""
NARROW = 0.07
"""A part shorter than this share of the longest bar has no room for its number."""


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the milliseconds of a step's phases, stacked, one bar per recipe, from zero.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.
    """
    spent = by_recipe(results)
    if spent.empty:
        return bars.say(ax, "No phases were measured, so there is nothing to draw.")
    styles = theme.styles_of(results)
    longest = spent.sum(axis=1).max()
    for y, (recipe, row) in enumerate(spent.iterrows()):
        style, begin = styles[str(recipe)], 0.0
        for phase, shade in zip(PHASES, SHADES, strict=True):
            ms = row[phase.name]
            ax.barh(y, ms, 0.7, left=begin, color=style.colour, alpha=shade, edgecolor="white", linewidth=0.8, zorder=2)
            if ms >= NARROW * longest:
                ink = "white" if shade > 0.5 else "#222222"
                ax.text(begin + ms / 2, y, f"{ms:,.3g}", ha="center", va="center", color=ink, fontsize=8.5, zorder=3)
            begin += ms
    ax.set_yticks(range(len(spent)), [str(recipe) for recipe in spent.index])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1.04 * longest)
    ax.set_xlabel(f"{', '.join(phase.label for phase in PHASES)} (ms)")
    return ax


def by_recipe(results: Results) -> pd.DataFrame:
    """Return ms with a column for each phase and a row for each recipe, in the order of every legend."""
    ok = results.ok
    spent = ok.groupby(ok["recipe"].astype(str))[[phase.name for phase in PHASES]].mean().dropna()
    return spent.reindex(in_order(spent.index))


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    parts = [
        f"{recipe} " + ", ".join(f"{phase.label} {row[phase.name]:.3g}" for phase in PHASES)
        for recipe, row in by_recipe(results).iterrows()
    ]
    return "Stacked bars of the phases of a step, in ms. " + "; ".join(parts) + "."


FIGURE = Figure(
    name="phases_of_a_step",
    title="Phases of a step",
    caption=(
        "Median time of each phase over a few steps after the timed ones, on the device's clock; mean of the "
        "processes. From left to right, pale to full colour: data (until the batch is ready), forward, backward, "
        "update (unscaling, optimizer, scaler). Measuring between the phases takes some time itself, so their sum "
        "is not the time of a step."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=lambda results: not by_recipe(results).empty,
)
