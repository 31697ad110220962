"""Why not smaller: the memory at the peak from the reference to the fastest recipe, by kind."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.waterfall import draw_waterfall, in_words
from ampbench.visualize.findings.explanation import Waterfall
from ampbench.visualize.findings.memory import allocator_peak, waterfall
from ampbench.visualize.findings.whys import contender
from ampbench.visualize.read.frame import Results


def found(results: Results) -> Waterfall | None:
    """Return the waterfall of one subject and batch size; None if it has no two recipes with the columns."""
    pair = contender(results)
    return waterfall(results, *pair) if pair else None


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the MiB at the peak by kind, from the reference to the fastest recipe."""
    nothing = 'The parts of the memory were not measured: [measure] passes = ["phases", "memory"].'
    return draw_waterfall(found(results), ax, theme.styles_of(results), nothing=nothing)


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    return in_words(found(results))


FIGURE = Figure(
    name="why_not_smaller",
    title="Why not smaller: memory at the peak by kind",
    caption=(
        "Top: the reference. Bottom: the fastest other recipe. Between them what each kind of memory saves (plain) or "
        "adds (hatched), by torch's allocator, not by the resident set. Cast copies: 16-bit copies of fp32 weights."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=lambda results: allocator_peak(results.ok) is not None,
)
