"""Training speed by batch size: a bar for the mean of the processes, a dot for each process, the speed-up beside."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.judge.runs.pairs import positive
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.read.frame import Results


def draw(results: Results, ax: Axes) -> Axes:
    """Draw images/s by batch size and recipe, from zero.

    Args:
        results: of one subject.
        ax: drawn into, and returned.
    """
    if not shown(results):
        return bars.say(ax, "No cell ran to its end with its speed measured, so there is nothing to draw.")
    drawn = list(bars.rows(results))
    for row in drawn:
        speeds = positive(row.ok["images_per_s"])
        mean = geometric_mean(speeds)
        if mean is None:
            bars.why_missing(ax, row)
            continue
        bars.bar(ax, row, mean)
        bars.spread_line(ax, row, list(speeds))
        speedup = bars.times(row.verdict.speed if row.verdict else None)
        bars.beside(ax, row, speeds.max(), f"{mean:,.0f}  {speedup}".strip())
    ax.set_xlabel(results.label("images_per_s"))
    bars.finish(ax, results, drawn)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    speeds = bars.in_words(results, results.ok["images_per_s"])
    return f"Bar chart of {results.label('images_per_s')} by batch size and recipe. {speeds}."


def shown(results: Results) -> bool:
    """Return whether any speed was measured."""
    return not positive(results.ok["images_per_s"]).empty


FIGURE = Figure(
    name="throughput",
    title="Throughput",
    caption=(
        "Bar: geometric mean of the processes. Dot: one process. Line: from the slowest process to the fastest. "
        "Numbers: the mean, and the speed-up over the reference as in the table, which is a ratio of such means; a "
        "question mark where it can't be told from 1."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    height_in=bars.height_in,
    key=True,
)
