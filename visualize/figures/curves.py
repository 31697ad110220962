"""What the figures of accuracy and loss share: one line per recipe, the end enlarged, a note on missing runs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator

from ampbench.visualize.figures import bars, theme
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

ZOOMED = 0.2
"""Share of the run in the inset: the last 40 of 200 epochs."""
FEWEST = 10
"""With fewer points along a curve, its end is not enlarged."""


def trained(results: Results) -> list[str]:
    """Return the ids of the cells whose curves may be drawn: those whose training finished.

    Raises:
        ValueError: several subjects or batch sizes; the colours of one axes tell only recipes apart.
    """
    one_of_each(results)
    return list(results.ok.loc[results.ok["epochs"] > 0, "cell_id"])


def one_of_each(results: Results, second: Literal["batch_size", "recipe"] = "batch_size") -> None:
    """Check that the results are of one subject, and of one batch size or recipe.

    Raises:
        ValueError: there are several; the colours of one axes cannot tell them apart as well.
    """
    seconds = results.batch_sizes if second == "batch_size" else results.recipes
    for name, values in (("subject", results.subjects), (second, seconds)):
        if len(values) > 1:
            raise ValueError(
                f"a curve is drawn for one {name}, and there are {len(values)}: use results.where({name}={values[0]!r})"
            )


def draw_curves(
    ax: Axes,
    points: pd.DataFrame,
    styles: Mapping[str, theme.Style],
    *,
    zoomed: bool = True,
    from_zero: bool = False,
) -> Axes:
    """Draw mean and min-max band over the seeds of each recipe, and enlarge the end in the emptiest corner.

    Args:
        ax: drawn into, and returned.
        points: columns recipe, x, y; one row per seed and x.
        styles: of every recipe in the folder.
        zoomed: enlarge the end.
        from_zero: start the y axis at zero.
    """
    frame = points.groupby(["recipe", "x"], observed=True)["y"].agg(["mean", "min", "max"]).reset_index()
    _lines(ax, frame, styles, marked=True)
    if from_zero:
        ax.set_ylim(bottom=0)  # before the inset: its place depends on the limits
    ends = frame[frame["x"] > frame["x"].max() * (1 - ZOOMED)]
    if zoomed and frame["x"].nunique() >= FEWEST and len(ends):
        zoom = ax.inset_axes(_emptiest(ax, frame))
        _lines(zoom, ends, styles, marked=False)
        zoom.set_xlim(ends["x"].min(), ends["x"].max())
        zoom.set_ylim(*_cluster(ends))
        zoom.tick_params(labelsize=8, length=2)
        whole_numbers(zoom.xaxis, most=5)
        zoom.set_facecolor("white")
        zoom.patch.set_alpha(0.93)
        for spine in zoom.spines.values():
            spine.set_visible(True)
        zoom.set_title("the end, enlarged", fontsize=8.5, fontweight="normal", color=theme.MUTED, pad=3)
        ax.indicate_inset_zoom(zoom, edgecolor="#999999")
    whole_numbers(ax.xaxis)
    bars.beside(ax)
    return ax


def whole_numbers(axis: Axis, most: int = 8) -> None:
    """Put the ticks of an axis of steps or epochs at round whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))


def x_label(results: Results, words: str) -> str:
    """Return the label of the x axis, with a line below it that names the runs that are left out."""
    note = left_out(results)
    return words + ("\n" + textwrap.fill(note, 90) if note else "")


def left_out(results: Results) -> str:
    """Name the recipes whose runs are not in the curves, with their status; empty if all runs are drawn."""
    bad = results.cells[results.cells["status"] != "ok"]
    parts = []
    for recipe in in_order(bad["recipe"]):
        own = bad[bad["recipe"] == recipe]
        for status, rows in own.groupby("status", sort=False):
            seeds = ", ".join(str(seed) for seed in sorted(rows["seed"].unique()))
            whole = len(rows) == (results.cells["recipe"] == recipe).sum()
            parts.append(f"{recipe} ({status})" if whole else f"{recipe} seed {seeds} ({status})")
    return f"Left out: {'; '.join(parts)}." if parts else ""


def _lines(ax: Axes, frame: pd.DataFrame, styles: Mapping[str, theme.Style], *, marked: bool) -> None:
    present = set(frame["recipe"])
    drawn = {recipe: style for recipe, style in styles.items() if recipe in present}
    for k, (recipe, style) in enumerate(drawn.items()):
        own = frame[frame["recipe"] == recipe]
        every = max(1, len(own) // 7)
        ax.fill_between(
            own["x"], own["min"], own["max"], color=style.colour, alpha=0.15 if len(drawn) <= 4 else 0.08, linewidth=0
        )
        ax.plot(
            own["x"],
            own["mean"],
            color=style.colour,
            linestyle=style.linestyle,
            linewidth=1.6,
            marker=style.marker if marked or len(own) == 1 else None,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            markevery=((k * every) // max(1, len(drawn)), every),
            label=recipe,
        )


def _emptiest(ax: Axes, frame: pd.DataFrame) -> tuple[float, float, float, float]:
    """Return the corner that hides the fewest points: left, bottom, width and height as shares of the axes."""
    corners = [(0.44, 0.11, 0.53, 0.48), (0.44, 0.50, 0.53, 0.42), (0.12, 0.50, 0.53, 0.42), (0.12, 0.11, 0.53, 0.48)]
    at = ax.transAxes.inverted().transform(ax.transData.transform(frame[["x", "mean"]].to_numpy()))

    def hidden(corner: tuple[float, float, float, float]) -> int:
        left, bottom, width, height = corner
        across = (at[:, 0] > left - 0.08) & (at[:, 0] < left + width)
        return int((across & (at[:, 1] > bottom - 0.05) & (at[:, 1] < bottom + height + 0.05)).sum())

    return min(corners, key=hidden)


def _cluster(ends: pd.DataFrame) -> tuple[float, float]:
    """Return y limits around the values where most recipes end: one that collapsed would flatten the other curves."""
    centre = ends.groupby("recipe", observed=True)["mean"].mean()
    distance = (centre - centre.median()).abs()
    near = centre[distance <= 6 * max(float(distance.median()), 1e-9)].index
    own = ends[ends["recipe"].isin(near)]
    low, high = float(own["min"].min()), float(own["max"].max())
    room = 0.06 * (high - low) or 0.01 * abs(high) or 0.01
    return low - room, high + room
