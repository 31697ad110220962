"""Why not smaller: the memory at the peak from the reference to the fastest recipe, by kind."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared.waterfall import draw_waterfall, in_any, in_words
from ampbench.visualize.findings.explanation import Waterfall
from ampbench.visualize.findings.memory import allocator_peak, waterfall
from ampbench.visualize.findings.whys import contender, fastest_place
from ampbench.visualize.read.frame import Results


def found(results: Results) -> Waterfall | None:
    """Return the waterfall at the batch size of the fastest recipe; None if no two recipes have the columns there."""
    own = fastest_place(results)
    pair = contender(own) if own else None
    return waterfall(own, *pair) if own and pair else None


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
        "At the batch size of the fastest recipe. "
        "Top: the reference. Bottom: the fastest other recipe. Between them what each kind of memory saves (plain) or "
        "adds (hatched), by torch's allocator, not by the resident set. Cast copies: 16-bit copies of fp32 weights."
    ),
    draw=draw,
    describe=describe,
    height_in=lambda _: 3.6,
    shown=lambda results: bool(allocator_peak(results.ok) is not None) and in_any(results, found),
)
