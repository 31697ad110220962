"""Why not faster: a step's time from the reference to the fastest recipe, by kind of work."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared.waterfall import draw_waterfall, in_any, in_words
from ampbench.visualize.findings.explanation import Waterfall
from ampbench.visualize.findings.step_time import waterfall
from ampbench.visualize.findings.whys import contender, fastest_place
from ampbench.visualize.read.frame import Results


def found(results: Results) -> Waterfall | None:
    """Return the waterfall at the batch size of the fastest recipe; None if no two recipes have the columns there."""
    own = fastest_place(results)
    pair = contender(own) if own else None
    return waterfall(own, *pair) if own and pair else None


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
        "At the batch size of the fastest recipe. "
        "Top: a step of the reference. Bottom: of the fastest other recipe. Between them what each kind of work "
        "saves (plain) or adds (hatched); matrix products and convolutions are what a lower precision speeds up most. "
        "Results without kinds of work show the phases of a step."
    ),
    draw=draw,
    describe=describe,
    height_in=lambda _: 3.6,
    shown=lambda results: (
        bool("work_matmul_conv_ms" in results.ok and results.ok["work_matmul_conv_ms"].notna().any())
        and in_any(results, found)
    ),
)
