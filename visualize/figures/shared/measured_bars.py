"""What the figures of energy and of time to accuracy share: bars of one column that not every folder has."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.judge.runs.pairs import positive
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.judge.verdict.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.stats.statistics import Ratio


def figure(
    column: str,
    *,
    name: str,
    title: str,
    caption: str,
    unit: str | None = None,
    divisor: float = 1.0,
    ratio: Callable[[Verdict], Ratio | None] = lambda _: None,
    missing: str = "not measured",
) -> Figure:
    """Return the figure of a column of cells.

    Args:
        column: drawn, lower is better.
        name: of the picture.
        title: of the figure.
        caption: what its bars mean.
        unit: of the axis, if it is not that of the column.
        divisor: from the column's unit to the axis's.
        ratio: the judged ratio to the reference that is written behind the bar.
        missing: in place of the bar of a cell that ended well without a value.
    """

    def values(cells: pd.DataFrame) -> pd.Series:
        return positive(cells[column]) / divisor

    def shown(results: Results) -> bool:
        return column in results.ok and bool(results.ok[column].notna().any())

    def draw(results: Results, ax: Axes) -> Axes:
        if not shown(results):
            return bars.say(ax, f"No {results.label(column)} was measured, so there is nothing to draw.")
        drawn = list(bars.rows(results))
        for row in drawn:
            own = values(row.ok)
            mean = geometric_mean(own)
            if mean is None:
                bars.why_missing(ax, row, missing)
                continue
            bars.bar(ax, row, mean)
            bars.spread_line(ax, row, list(own))
            words = bars.times(ratio(row.verdict) if row.verdict else None)
            bars.beside(ax, row, own.max(), f"{bars.short(mean)}  {words}".strip())
        ax.set_xlabel(results.label(column, unit))
        bars.finish(ax, results, drawn)
        return ax

    def describe(results: Results) -> str:
        column_of = results.ok[column] / divisor
        return f"Bar chart of {results.label(column, unit)}. {bars.in_words(results, column_of, 2)}."

    return Figure(
        name=name,
        title=title,
        caption=caption,
        draw=draw,
        describe=describe,
        shown=shown,
        height_in=bars.height_in,
    )
