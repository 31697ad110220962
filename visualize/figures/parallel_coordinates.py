"""The trials of a search as lines over one axis for each setting, with the result as the last axis."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ampbench.schema.search import Line, SearchRecord
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.findings import searched
from ampbench.visualize.judge.answer.search_answer import shown as in_words
from ampbench.visualize.read.frame import Results

MOST_NAMED = 3
"""Trials that are drawn thick, with their numbers."""
LEAST_APART = 0.06
"""Of two numbers beside the last axis."""
LIGHTEST = 0.8
"""The last position used on the colour map viridis: its end is too light on white."""


def draw(results: Results, ax: Axes) -> Axes:
    """Draw every trial; where the search has several studies, the study is the first axis."""
    record = results.search
    if record is None:
        return bars.say(ax, "No search, so there are no trials to draw.")
    rows, lines = _trials(results, record)
    names = [line.field for line in lines]
    places = pd.DataFrame({line.field: _places(line, rows[line.field]) for line in lines})
    sign = 1 if record.greater_is_better else -1
    order = (sign * rows["value"]).rank(ascending=False, method="first")
    heights = _heights(rows["value"])
    colours = matplotlib.colormaps["viridis"]
    for i, row in rows.iterrows():
        known = not math.isnan(row["value"])
        xs = list(range(len(names) + known))
        ys = [*places.loc[i], *([heights[i]] if known else [])]
        is_named = known and order[i] <= MOST_NAMED
        ax.plot(
            xs, ys,
            color=colours(LIGHTEST * (order[i] - 1) / max(1, order.max() - 1)) if known else theme.MUTED,
            linestyle="-" if known else (0, (1, 2)), linewidth=2.4 if is_named else 1.0,
            alpha=1.0 if is_named else 0.55, marker="o" if is_named else "", markersize=5, zorder=3 if is_named else 2,
        )  # fmt: skip
    free = math.inf  # below which there is room for a number
    for i in heights[order <= MOST_NAMED].sort_values(ascending=False).index:
        y = min(heights[i], free)
        free = y - LEAST_APART
        ax.annotate(
            f"trial {rows['number'][i]}", (len(names), y), xytext=(7, 0), textcoords="offset points",
            fontsize=theme.SMALL, va="center", color=theme.INK,
        )  # fmt: skip
    for x, line in enumerate(lines):
        _axis(ax, x, line)
    for value in rows["value"].dropna().agg(["min", "max"]).unique():
        y = float(value > rows["value"].min())
        _tick(ax, len(names), y, in_words(record, float(value)))
    ax.set_xticks(range(len(names) + 1), [*(name.removeprefix("model_args.") for name in names), "result"])
    ax.set_yticks([])
    ax.set_xlim(-0.35, len(names) + 0.5)
    ax.set_ylim(-0.08, 1.08)
    ax.grid(visible=True, axis="x", color="#b8b8b8", linewidth=1.2)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    record = results.search
    if record is None:
        return ""
    sign = 1 if record.greater_is_better else -1
    rows, lines = _trials(results, record)
    rows = rows.dropna(subset=["value"])
    best = rows.assign(by=sign * rows["value"]).sort_values("by", ascending=False).head(MOST_NAMED)
    parts = [
        f"trial {row['number']}: {in_words(record, row['value'])} with "
        + searched.setting_words({line.field: row[line.field] for line in lines})
        for row in best.to_dict("records")
    ]
    return f"{len(rows)} trials with a result. The best: " + "; ".join(parts)


def shown(results: Results) -> bool:
    """Whether a trial ended with a result."""
    return any(own.luckiest for own in searched.found(results).values())


def _trials(results: Results, record: SearchRecord) -> tuple[pd.DataFrame, list[Line]]:
    """Return the trials of all studies, and the lines that are axes."""
    parts = [searched.trials_of(results, study).assign(study=study) for study in record.studies]
    several = [Line(field="study", choices=record.studies)] if len(record.studies) > 1 else []
    return pd.concat(parts, ignore_index=True), [*several, *record.space]


def _places(line: Line, values: pd.Series) -> list[float]:
    """Return where values lie on the axis of a line, from 0 to 1."""
    if line.choices:
        steps = {str(choice): i / max(1, len(line.choices) - 1) for i, choice in enumerate(line.choices)}
        return [steps.get(str(_plain(value)), 0.0) for value in values]
    scale = math.log if line.log else float
    low, high = scale(line.low or 0.0), scale(line.high or 0.0)
    return [(scale(float(value)) - low) / (high - low) for value in values]


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _heights(values: pd.Series) -> pd.Series:
    """Return where results lie on the last axis, from 0 for the least to 1."""
    low, high = values.min(), values.max()
    return (values - low) / ((high - low) or 1.0)


def _axis(ax: Axes, x: int, line: Line) -> None:
    """Write the ends of a range, or all its choices, beside its axis."""
    if line.choices:
        for i, choice in enumerate(line.choices):
            _tick(ax, x, i / max(1, len(line.choices) - 1), str(choice))
    else:
        _tick(ax, x, 0.0, f"{line.low:g}")
        _tick(ax, x, 1.0, f"{line.high:g}")


def _tick(ax: Axes, x: int, y: float, text: str) -> None:
    ax.annotate(
        text, (x, y), xytext=(-5, 0), textcoords="offset points", ha="right", va="center", fontsize=theme.SMALL,
        color=theme.INK, path_effects=bars.HALO, zorder=5,
    )  # fmt: skip


FIGURE = Figure(
    name="parallel_coordinates",
    title="All trials",
    caption=(
        "Line: a trial, through its settings to its result; dark is better. Thick, with numbers: the three best. "
        "Dotted: pruned, or ended without a result."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    of_all=True,
    of_search=True,
    key=True,
    height_in=lambda _: 3.2,
)
