"""Why not faster: a step's time from the reference to the fastest recipe, by kind of work."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.waterfall import draw_waterfall, in_words
from ampbench.visualize.findings.explanation import Waterfall
from ampbench.visualize.findings.step_time import waterfall
from ampbench.visualize.findings.whys import contender
from ampbench.visualize.read.frame import Results


def found(results: Results) -> Waterfall | None:
    """Return the waterfall of one subject and batch size; None if it has no two recipes with the columns."""
    pair = contender(results)
    return waterfall(results, *pair) if pair else None


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the milliseconds of a step by kind of work, from the reference to the fastest recipe."""
    return draw_waterfall(found(results), ax, theme.styles_of(results), nothing="No two recipes have a measured step.")


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    return in_words(found(results))


FIGURE = Figure(
    name="why_not_faster",
    title="Why not faster: time of a step by kind of work",
    caption=(
        "Top: a step of the reference. Bottom: a step of the fastest other recipe. Between them what each kind of work "
        "saves (plain) or adds (hatched); matrix products and convolutions are what a lower precision speeds up most. "
        "Results without kinds of work show the phases of a step."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=lambda results: "work_matmul_conv_ms" in results.ok and results.ok["work_matmul_conv_ms"].notna().any(),
)
