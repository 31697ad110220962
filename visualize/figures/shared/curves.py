"""What the figures of accuracy and loss share: one line per recipe, the end enlarged, a note on missing runs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox, TransformedBbox

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

LAST_EPOCHS = 20
"""The inset shows so many epochs, as study S3 did; of shorter trainings the last quarter."""
FEWEST = 4
"""Points of a curve in its inset; with fewer there is none."""
WORDS = "the end, enlarged"
CORNERS = ((0.45, 0.12, 0.53, 0.47), (0.45, 0.47, 0.53, 0.45), (0.12, 0.47, 0.53, 0.45), (0.12, 0.12, 0.53, 0.47))
"""Places of the inset: left, bottom, width and height as shares of the axes."""


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


def only_batch_sizes(trained: pd.DataFrame) -> bool:
    """Return whether every subject was trained in one recipe, and any of them with several batch sizes."""
    by_subject = trained.groupby("subject", observed=True)
    return bool((by_subject["recipe"].nunique() <= 1).all() and (by_subject["batch_size"].nunique() > 1).any())


def draw_curves(
    ax: Axes,
    points: pd.DataFrame,
    styles: Mapping[str, theme.Style],
    *,
    enlarged: float = 0.0,
    from_zero: bool = False,
    steps: bool = False,
) -> Axes:
    """Draw mean and min-max band over the seeds of each recipe, and enlarge the end in the emptiest corner.

    Args:
        ax: drawn into, and returned.
        points: columns recipe, x, y; one row per seed and x.
        styles: of every recipe in the folder.
        enlarged: the last share of the x axis that an inset shows; none if 0 or if it holds fewer than `FEWEST` points.
        from_zero: start the y axis at zero.
        steps: the value holds from its x to the next one, as a learning rate does.
    """
    points = points.assign(y=points["y"].where(points["y"].abs() < math.inf))  # no axis holds an infinite loss
    frame = points.groupby(["recipe", "x"], observed=True)["y"].agg(["mean", "min", "max"]).reset_index()
    _lines(ax, frame, styles, marked=True, steps=steps)
    if from_zero:
        ax.set_ylim(0, max(ax.get_ylim()[1], 1.06 * float(frame["max"].max())))
    ends = frame[frame["x"] > frame["x"].max() * (1 - enlarged)].dropna(subset=["mean"])
    if enlarged and ends["x"].nunique() >= FEWEST:
        zoom = ax.inset_axes(CORNERS[0], label=WORDS)
        _lines(zoom, ends, styles, marked=False, steps=steps)
        zoom.set_xlim(ends["x"].min(), ends["x"].max())
        zoom.set_ylim(*_cluster(ends))
        zoom.tick_params(labelsize=theme.SMALL - 0.5, length=2)
        whole_numbers(zoom.xaxis, most=4)
        zoom.yaxis.set_major_locator(MaxNLocator(4))
        zoom.set_facecolor("white")
        zoom.patch.set_alpha(0.93)
        for spine in zoom.spines.values():
            spine.set_visible(True)
        zoom.set_title(WORDS, fontsize=theme.SMALL, fontweight="normal", color=theme.MUTED, pad=3)
        ax.indicate_inset_zoom(zoom, edgecolor="#999999")
        place_inset(ax)
    whole_numbers(ax.xaxis)
    bars.legend(ax)
    return ax


def share_at_the_end(num_epochs: float) -> float:
    """Return the share of a training that the inset shows: the last 20 epochs, or the last quarter of fewer than 80."""
    return min(0.25, LAST_EPOCHS / num_epochs) if num_epochs else 0.0


def place_inset(ax: Axes) -> None:
    """Put the inset of the axes, if there is one, into the corner where it hides the fewest points of the lines."""
    zoom = next((child for child in ax.child_axes if child.get_label() == WORDS), None)
    if zoom is None:
        return
    lines = [line.get_xydata() for line in ax.get_lines() if len(line.get_xdata()) > 1]
    at = ax.transAxes.inverted().transform(ax.transData.transform(np.concatenate(lines)))

    def hidden(corner: tuple[float, float, float, float]) -> int:
        left, bottom, width, height = corner
        x, y = at[:, 0], at[:, 1]
        inside = (x > left) & (x < left + width) & (y > bottom) & (y < bottom + height)
        near = (x > left - 0.08) & (x < left + width) & (y > bottom - 0.07) & (y < bottom + height + 0.09)
        return 10 * int(inside.sum()) + int(near.sum())  # near: where the labels of its axes and its title are

    corner = min(CORNERS, key=hidden)
    box = Bbox.from_bounds(*corner)
    zoom.set_axes_locator(lambda *_: TransformedBbox(box, ax.transAxes - ax.figure.transSubfigure).frozen())


def whole_numbers(axis: Axis, most: int = 8) -> None:
    """Put the ticks of an axis of steps or epochs at round whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=[1, 2, 5, 10]))


def x_label(results: Results, words: str) -> str:
    """Return the label of the x axis, with a line below it that names the runs that are left out."""
    note = left_out(results)
    return words + ("\n" + textwrap.fill(note, 78) if note else "")


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


def _lines(ax: Axes, frame: pd.DataFrame, styles: Mapping[str, theme.Style], *, marked: bool, steps: bool) -> None:
    present = set(frame["recipe"])
    drawn = {recipe: style for recipe, style in styles.items() if recipe in present}
    for k, (recipe, style) in enumerate(drawn.items()):
        own = frame[frame["recipe"] == recipe]
        every = max(1, len(own) // 7)
        ax.fill_between(
            own["x"],
            own["min"],
            own["max"],
            step="post" if steps else None,
            color=style.colour,
            alpha=0.15 if len(drawn) <= 4 else 0.08,
            linewidth=0,
        )
        ax.plot(
            own["x"],
            own["mean"],
            color=style.colour,
            linestyle=style.linestyle,
            drawstyle="steps-post" if steps else "default",
            linewidth=1.6,
            marker=style.marker if marked or len(own) == 1 else None,
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            markevery=((k * every) // max(1, len(drawn)), every),
            label=recipe,
        )


def _cluster(ends: pd.DataFrame) -> tuple[float, float]:
    """Return y limits around the values where most recipes end: one that collapsed would flatten the other curves."""
    centre = ends.groupby("recipe", observed=True)["mean"].mean()
    distance = (centre - centre.median()).abs()
    near = centre[distance <= 6 * max(float(distance.median()), 1e-9)].index
    own = ends[ends["recipe"].isin(near)]
    low, high = float(own["min"].min()), float(own["max"].max())
    room = 0.06 * (high - low) or 0.01 * abs(high) or 0.01
    return low - room, high + room
