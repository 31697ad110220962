"""What throughput and memory share: bars in groups by batch size, one place per recipe, gaps that say why."""

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
"""Of a group and, at most, of one bar in it; in distances between two batch sizes."""
ASIDE = (STARTUP, FLOOR) = ("start-up peak", "before data and model")
"""What a legend says beside the recipes."""
MOST_NUMBERED = 30
"""Bars; with more than these the numbers above them would touch."""
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
"""Where a legend covers nothing of the axes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one recipe at one batch size stands."""

    x: float
    width: float
    recipe: str
    style: Style
    cells: pd.DataFrame
    """All cells of the place, whatever became of them; empty if none was planned."""

    @property
    def ok(self) -> pd.DataFrame:
        """The cells that ran to their end."""
        return self.cells[self.cells["status"] == "ok"]


def places(results: Results) -> Iterator[Place]:
    """Yield a place for every recipe at every batch size, in the order of the legend."""
    recipes = results.recipes
    looks = theme.styles_of(results)
    step = min(WIDEST, GROUP_WIDTH / len(recipes))
    for i, batch_size in enumerate(results.batch_sizes):
        cells = results.cells[results.cells["batch_size"] == batch_size]
        for k, recipe in enumerate(recipes):
            yield Place(
                x=i + (k - (len(recipes) - 1) / 2) * step,
                width=0.92 * step,
                recipe=recipe,
                style=looks[recipe],
                cells=cells[cells["recipe"] == recipe],
            )


def bar(ax: Axes, place: Place, height: float, labelled: set[str]) -> None:
    """Draw one bar; the first of a recipe carries its name into the legend."""
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


def number(ax: Axes, place: Place, height: float, words: str, crowd: int, *, inside: bool = False) -> None:
    """Write a number above a bar or at its top, smaller the more bars there are, and none in a crowd."""
    if crowd > MOST_NUMBERED:
        return
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85} if inside else None
    ax.annotate(
        words,
        (place.x, height),
        xytext=(0, -6 if inside else 4),
        textcoords="offset points",
        ha="center",
        va="top" if inside else "bottom",
        fontsize=9 if crowd <= 12 else 7.5 if crowd <= 20 else 6.5,
        bbox=box,
        zorder=5,
    )


def why_missing(ax: Axes, place: Place) -> None:
    """Write the status where a bar would stand; nothing where no cell was planned."""
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
    """Name the batch sizes, start the axis at zero, and leave room above."""
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
    """Leave the axes empty but for a sentence."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, sentence, transform=ax.transAxes, ha="center", va="center", color=theme.MUTED, wrap=True)
    return ax
