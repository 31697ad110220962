"""What the figures with bars share: a row for each recipe, in groups by batch size, or the reason why a bar is missing.

Rows carry the names of their recipes, so that no bar is known by its colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.panels import spread
from ampbench.visualize.figures.theme import Style
from ampbench.visualize.judge.runs.pairs import positive
from ampbench.visualize.judge.verdict.judged import judged
from ampbench.visualize.judge.verdict.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order
from ampbench.visualize.read.words import count
from ampbench.visualize.stats.statistics import Ratio

THICK = 0.78
"""Height of a bar; the unit is the distance between two rows."""
ROW_IN = 0.235
"""Height of a row on paper."""
MOST_BARS = 30
"""With more, a panel shows some batch sizes only; the heat map of speed-ups shows all."""
HALO = [patheffects.withStroke(linewidth=3, foreground="white")]
"""A white edge, with which a dark line is seen on a dark bar too."""
LAST = ("start-up peak", "before data and model")
"""Entries of a legend that come after all others."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Row:
    """The row of one recipe at one batch size."""

    y: float
    recipe: str
    batch_size: int
    style: Style
    cells: pd.DataFrame
    """All cells of the row, of any status."""
    ok: pd.DataFrame
    """Those that ran to their end."""
    verdict: Verdict | None


def sizes_shown(results: Results) -> list[int]:
    """Return the batch sizes whose bars are drawn: all, or as many as `MOST_BARS` allows, evenly spread."""
    sizes = results.batch_sizes
    return [sizes[i] for i in spread(len(sizes), max(1, MOST_BARS // max(1, len(results.recipes))))]


def rows(results: Results) -> Iterator[Row]:
    """Yield a row for every recipe that was planned, by batch size, from the top down; y = 0, 1, … with gaps."""
    styles = theme.styles_of(results)
    (subject,) = results.subjects
    verdicts, y = judged(results), 0.0
    for size in sizes_shown(results):
        at_size = results.where(batch_size=size)
        for recipe in at_size.recipes:
            own = at_size.where(recipe=recipe)
            yield Row(
                y=y,
                recipe=recipe,
                batch_size=size,
                style=styles[recipe],
                cells=own.cells,
                ok=own.ok,
                verdict=verdicts.get((subject, size, recipe)),
            )
            y += 1
        y += 1.3 if _grouped(results) else 0


def height_in(results: Results) -> float:
    """Return the height of a panel of rows."""
    sizes = sizes_shown(results)
    groups = len(sizes) if _grouped(results) else 0
    num_rows = len(results.cells.drop_duplicates(["batch_size", "recipe"])[lambda c: c["batch_size"].isin(sizes)])
    return ROW_IN * (num_rows + 1.3 * groups + 0.4)


def _grouped(results: Results) -> bool:
    """Return whether the rows of a batch size have a heading; those of a lone recipe are named by it instead."""
    return len(results.batch_sizes) > 1 and len(results.recipes) > 1


def bar(ax: Axes, row: Row, length: float, *, hatched: bool = True) -> None:
    """Draw the bar of a row, in the colour and with the hatch of its recipe."""
    hatch = row.style.hatch if hatched else ""
    ax.barh(row.y, length, THICK, color=row.style.colour, edgecolor="white", linewidth=0.6, hatch=hatch, zorder=2)


def spread_line(ax: Axes, row: Row, values: Sequence[float]) -> None:
    """Draw a dot for each process and, of several, a line from the lowest to the highest."""
    if len(values) > 1:
        ax.hlines(row.y, min(values), max(values), color=theme.INK, linewidth=1.3, zorder=3, path_effects=HALO)
    places = row.y + THICK * (np.linspace(-0.24, 0.24, len(values)) if len(values) > 1 else np.zeros(1))
    ax.scatter(values, places, s=11, color="white", edgecolor=theme.INK, linewidth=0.8, zorder=4)


def beside(ax: Axes, row: Row, at: float, words: str) -> None:
    """Write a number behind the end of a bar."""
    ax.annotate(
        words, (at, row.y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=theme.SMALL, zorder=5
    )


def why_missing(ax: Axes, row: Row, unmeasured: str = "not measured") -> None:
    """Write the status in place of a bar: each has a row of its own, so two never overlap."""
    status = row.cells["status"].mode().iloc[0]
    words = unmeasured if status == "ok" else str(status)
    ax.annotate(
        words, (0, row.y), xytext=(5, 0), textcoords="offset points", va="center", color=theme.MUTED,
        fontsize=theme.SMALL, style="italic",
    )  # fmt: skip


def times(ratio: Ratio | None) -> str:
    """Return a ratio as a figure shows it: `1.85×`, with a question mark where it is not told; empty if unknown."""
    if ratio is None or not ratio.n or math.isnan(ratio.estimate):
        return ""
    return f"{ratio.estimate:.2f}×" + ("?" if ratio.verdict == "can't tell" else "")


def finish(ax: Axes, results: Results, drawn: Sequence[Row]) -> None:
    """Name the rows, start the x axis at zero, and leave room for the numbers behind the bars."""
    several = _grouped(results)
    lone = len(results.recipes) == 1 and len(results.batch_sizes) > 1
    heads = {row.batch_size: row.y - 0.95 for row in reversed(drawn)} if several else {}
    places = [(row.y, f"batch {row.batch_size}" if lone else row.recipe) for row in drawn] + [
        (y, f"batch {size}") for size, y in heads.items()
    ]
    ax.set_yticks([y for y, _ in places], [words for _, words in places])
    for tick, (_, words) in zip(ax.get_yticklabels(), places, strict=True):
        if words.startswith("batch ") and several:
            tick.set_fontweight("bold")
    ax.set_ylim(max(row.y for row in drawn) + 0.7, (min(heads.values()) - 0.6) if heads else -0.7)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, ax.get_xlim()[1] * 1.22)
    plain_numbers(ax.xaxis)
    left_out = [size for size in results.batch_sizes if size not in sizes_shown(results)]
    if left_out:
        more = (
            f"batch {', '.join(map(str, left_out))}: in the table"
            if len(left_out) < 9
            else (f"{count(len(left_out), 'further batch size', 'further batch sizes')}: in the table")
        )
        ax.set_xlabel(f"{ax.get_xlabel()}\n{more}")


def short(value: float) -> str:
    """Return a number with three digits or more: 5.32, 53.2, 5,320."""
    return f"{value:,.{max(0, 2 - int(math.log10(value)))}f}" if value >= 1 else f"{value:#.3g}"


def plain_numbers(axis: Axis) -> None:
    """Write the numbers of an axis with commas, and with decimals only below 10."""
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:g}")


def in_words(results: Results, column: pd.Series, digits: int = 0) -> str:
    """Return the geometric means of a column of the finished cells, by batch size and recipe."""
    known = positive(column)
    own = results.ok.loc[known.index]
    values = np.exp(np.log(known).groupby([own["batch_size"], own["recipe"]], observed=True).mean())
    parts = [
        f"batch {size}: " + ", ".join(f"{r} {v:,.{digits}f}" for r, v in values.loc[size].items())
        for size in values.index.get_level_values(0).unique()
    ]
    return "; ".join(parts)


def legend(ax: Axes) -> None:
    """Put a legend below the axes, where it covers nothing; a sheet moves it to its own foot."""
    entries = legend_entries(ax)
    if entries:
        ax.legend(list(entries.values()), list(entries), loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def legend_entries(*axes: Axes) -> dict[str, Artist]:
    """Return name -> handle over all axes: the recipes in their order, then what is not a recipe."""
    found: dict[str, Artist] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    known = [name for name in in_order(found) if name in theme.BUILT_IN]
    others = [name for name in found if name not in known and name not in LAST]
    return {name: found[name] for name in [*known, *others, *(name for name in LAST if name in found)]}


def say(ax: Axes, sentence: str) -> Axes:
    """Show only a sentence in the axes."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, sentence, transform=ax.transAxes, ha="center", va="center", color=theme.MUTED, wrap=True)
    return ax
