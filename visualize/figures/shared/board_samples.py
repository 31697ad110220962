"""What the figures of the board share: a column of its samples over the time of a cell, one line per recipe."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.read.frame import Results

MOST_POINTS = 400
"""Of a line; of more samples the mean of equal stretches of time is drawn."""


def figure(column: str, *, name: str, title: str, caption: str, unit: str | None = None, divisor: float = 1) -> Figure:
    """Return the figure of a column of `board`.

    Args:
        column: drawn over time.
        name: of the picture.
        title: of the figure.
        caption: what its lines mean.
        unit: of the axis, if it is not that of the column.
        divisor: from the column's unit to the axis's.
    """
    return Figure(
        name=name,
        title=title,
        caption=caption + " One line per recipe: its first cell. A GPU's clocks fall where its power or heat is held.",
        draw=partial(draw, column=column, unit=unit, divisor=divisor),
        describe=partial(describe, column=column, unit=unit, divisor=divisor),
        shown=partial(shown, column=column),
        by_batch_size=True,
        shared="both",
        most_panels=2,
        height_in=lambda _: 1.8,
    )


def draw(results: Results, ax: Axes, *, column: str, unit: str | None, divisor: float) -> Axes:
    """Draw a column of `board` over the time since each cell's start.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.
        column: of board.
        unit: of the axis, if it is not that of the column.
        divisor: from the column's unit to the axis's.
    """
    samples = _samples(results, column)
    if samples.empty:
        return bars.say(ax, "No sample of the board: it is taken on NVIDIA GPUs.")
    for recipe, style in theme.styles_of(results).items():
        own = thinned(samples[samples["recipe"] == recipe], column)
        if len(own):
            ax.plot(
                own["time_s"], own[column] / divisor, color=style.colour, linestyle=style.linestyle, linewidth=1.3,
                marker=style.marker, markevery=max(1, len(own) // 6), markersize=5, markeredgecolor="white",
                label=recipe,
            )  # fmt: skip
    ax.set_ylim(0, 1.08 * ax.get_ylim()[1])
    bars.plain_numbers(ax.yaxis)
    ax.set_xlabel("time since the cell's start (s)")
    ax.set_ylabel(results.label(column, unit))
    bars.legend(ax)
    return ax


def thinned(samples: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return time_s and a column, in order, as means over at most `MOST_POINTS` stretches of equal length."""
    own = samples[["time_s", column]].sort_values("time_s")
    if len(own) <= MOST_POINTS:
        return own
    return own.groupby(pd.cut(own["time_s"], MOST_POINTS), observed=True).mean()


def describe(results: Results, *, column: str, unit: str | None, divisor: float) -> str:
    """Say in words what the figure shows."""
    values = _samples(results, column).groupby("recipe", observed=True)[column]
    parts = [
        f"{r} from {low / divisor:,.0f} to {high / divisor:,.0f}"
        for r, low, high in values.agg(["min", "max"]).itertuples()
    ]
    return f"{results.label(column, unit)} over time: {', '.join(parts)}"


def shown(results: Results, *, column: str) -> bool:
    """Return whether any finished cell has a sample."""
    return len(_samples(results, column)) > 0


def _samples(results: Results, column: str) -> pd.DataFrame:
    rows = results.of_one_cell_each("board")
    return rows.dropna(subset=[column]) if column in rows else rows.iloc[:0]
