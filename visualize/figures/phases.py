"""How the time of a step is divided: one stacked bar per recipe, from the batch to the update."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from ampbench.schema.column import columns_of
from ampbench.schema.work import StepPhases
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

PHASES = columns_of(StepPhases)
"""In the order of a step."""
LOOKS = {
    "data_ms": ("#b8b8b8", "..."),
    "forward_ms": ("#16365c", ""),
    "backward_ms": ("#7fb0d8", ""),
    "update_ms": ("#c0392b", "///"),
}
"""Phase -> colour and hatch: of the phase and not of the recipe, whose name stands beside its bar."""
NARROW = 0.08
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
    longest = spent.sum(axis=1).max()
    for y, (_, row) in enumerate(spent.iterrows()):
        begin = 0.0
        for phase in PHASES:
            ms, (colour, hatch) = row[phase.name], LOOKS[phase.name]
            ax.barh(
                y, ms, 0.74, left=begin, color=colour, edgecolor="white", hatch=hatch, linewidth=0.8,
                label=phase.label if y == 0 else None, zorder=2,
            )  # fmt: skip
            if ms >= NARROW * longest:
                box = {"boxstyle": "round,pad=0.12", "facecolor": colour, "edgecolor": "none"}
                ax.text(
                    begin + ms / 2, y, bars.short(ms), ha="center", va="center", color=theme.ink_on(to_rgb(colour)),
                    fontsize=theme.SMALL, bbox=box, zorder=3,
                )  # fmt: skip
            begin += ms
        ax.annotate(
            bars.short(begin), (begin, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=theme.SMALL
        )
    ax.set_yticks(range(len(spent)), [str(recipe) for recipe in spent.index])
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1.1 * longest)
    ax.set_xlabel("time of a step (ms)")
    bars.legend(ax)
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


def height_in(results: Results) -> float:
    """Return the height of a panel."""
    return bars.ROW_IN * (results.ok["recipe"].nunique() + 0.4)


FIGURE = Figure(
    name="phases_of_a_step",
    title="Phases of a step",
    caption=(
        "Median time of each phase over a few steps after the timed ones, on the device's clock; mean of the "
        "processes. Data: until the batch is ready; then forward, backward, and update (unscaling, optimizer, "
        "scaler). Behind a bar: the sum. Measuring between the phases takes some time itself, so the sum is not the "
        "time of a step."
    ),
    draw=draw,
    describe=describe,
    shown=lambda results: not by_recipe(results).empty,
    by_batch_size=True,
    shared="x",
    height_in=height_in,
)
