"""What the figures of throughput and memory share: bars grouped by batch size, or the reason why a bar is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.theme import Style
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

GROUP_WIDTH, WIDEST = 0.84, 0.16
"""Width of a group, and largest width of a bar in it; the unit is the distance between two batch sizes."""
ASIDE = (STARTUP, FLOOR) = ("start-up peak", "before data and model")
"""Entries of a legend that are not recipes."""
MOST_NUMBERED = 30
"""Number of bars; with more, the numbers above them would overlap."""
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
"""A place for the legend where it covers nothing of the axes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The place of one recipe at one batch size."""

    x: float
    width: float
    recipe: str
    style: Style
    cells: pd.DataFrame
    """All cells of the place, of any status; empty if none was planned."""

    @property
    def ok(self) -> pd.DataFrame:
        """The cells that ran to their end."""
        return self.cells[self.cells["status"] == "ok"]


def places(results: Results) -> Iterator[Place]:
    """Yield a place for every recipe at every batch size, in the order of the legend."""
    recipes = results.recipes
    styles = theme.styles_of(results)
    step = min(WIDEST, GROUP_WIDTH / len(recipes))
    for i, batch_size in enumerate(results.batch_sizes):
        cells = results.cells[results.cells["batch_size"] == batch_size]
        for k, recipe in enumerate(recipes):
            yield Place(
                x=i + (k - (len(recipes) - 1) / 2) * step,
                width=0.92 * step,
                recipe=recipe,
                style=styles[recipe],
                cells=cells[cells["recipe"] == recipe],
            )


def bar(ax: Axes, place: Place, height: float, labelled: set[str]) -> None:
    """Draw one bar; the first bar of a recipe adds its name to the legend."""
    label = place.recipe if place.recipe not in labelled else None
    labelled.add(place.recipe)
    ax.bar(
        place.x,
        height,
        place.width,
        color=place.style.colour,
        edgecolor="white",
        linewidth=0.6,
        hatch=place.style.hatch,
        label=label,
        zorder=2,
    )


def number(ax: Axes, place: Place, height: float, words: str, num_bars: int, *, inside: bool = False) -> None:
    """Write a number above a bar or inside its top: smaller if there are many bars, nothing above `MOST_NUMBERED`."""
    if num_bars > MOST_NUMBERED:
        return
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85} if inside else None
    ax.annotate(
        words,
        (place.x, height),
        xytext=(0, -6 if inside else 4),
        textcoords="offset points",
        ha="center",
        va="top" if inside else "bottom",
        fontsize=9 if num_bars <= 12 else 7.5 if num_bars <= 20 else 6.5,
        bbox=box,
        zorder=5,
    )


def why_missing(ax: Axes, place: Place) -> None:
    """Write the status in place of a bar; write nothing where no cell was planned."""
    if not place.cells.empty:
        status = place.cells["status"].mode().iloc[0]
        words = f"{place.recipe} {status if status != 'ok' else 'not measured'}"
        ax.annotate(
            words,
            (place.x, 0),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            rotation=90,
            color=theme.MUTED,
            fontsize=8,
        )


def finish(ax: Axes, results: Results) -> None:
    """Label the batch sizes, start the y axis at zero, and leave room above the bars."""
    sizes = results.batch_sizes
    ax.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    ax.set_xlim(-0.5, len(sizes) - 0.5)
    ax.set_xlabel(results.label("batch_size"))
    ax.grid(axis="x", visible=False)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.04)
    plain_numbers(ax.yaxis)


def plain_numbers(axis: Axis) -> None:
    """Write the numbers of an axis with commas, and with decimals only below 10."""
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:g}")


def in_words(results: Results, column: str, unit: float = 1) -> str:
    """Return the medians of a column, in a unit, by batch size and recipe."""
    parts = []
    for size in results.batch_sizes:
        spots = [(place.recipe, place.ok[column].median() / unit) for place in places(results.where(batch_size=size))]
        parts.append(f"batch {size}: " + ", ".join(f"{r} {v:,.0f}" for r, v in spots if not math.isnan(v)))
    return "; ".join(parts)


def beside(ax: Axes) -> None:
    """Put the legend to the right of the axes, where it covers nothing."""
    entries = legend_entries(ax)
    if entries:
        ax.legend(list(entries.values()), list(entries), **BESIDE)


def legend_entries(*axes: Axes) -> dict[str, Artist]:
    """Return name -> handle over all axes: the recipes in their order, then what is not a recipe."""
    found: dict[str, Artist] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    names = in_order(name for name in found if name not in ASIDE)
    return {name: found[name] for name in [*names, *(name for name in ASIDE if name in found)]}


def say(ax: Axes, sentence: str) -> Axes:
    """Show only a sentence in the axes."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, sentence, transform=ax.transAxes, ha="center", va="center", color=theme.MUTED, wrap=True)
    return ax
