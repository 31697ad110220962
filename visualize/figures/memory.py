"""Memory by batch size: a bar for the peak of steady training, an outline for the peak of the start-up."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from ampbench.schema.memory import INSTRUMENTS, MIB
from ampbench.visualize.figures import bars, theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results


def draw(results: Results, ax: Axes) -> Axes:
    """Draw steady and start-up peak memory in MiB by batch size and recipe, from zero.

    Args:
        results: of one subject.
        ax: drawn into, and returned.
    """
    ok = results.ok
    if ok["steady_peak_bytes"].dropna().empty:
        return bars.say(ax, "No cell ran to its end with its memory measured, so there is nothing to draw.")
    labelled: set[str] = set()
    spots = list(bars.places(results))
    for place in spots:
        steady = place.ok["steady_peak_bytes"].median() / MIB
        startup = place.ok["startup_peak_bytes"].median() / MIB
        if math.isnan(steady):
            bars.why_missing(ax, place)
            continue
        bars.bar(ax, place, steady, labelled)
        bars.number(ax, place, steady, f"{steady:,.0f}", 2 * len(spots), inside=True)
        if not math.isnan(startup):
            label = bars.STARTUP if bars.STARTUP not in labelled else None
            labelled.add(bars.STARTUP)
            ax.bar(
                place.x,
                startup,
                place.width,
                fill=False,
                edgecolor="#555555",
                linestyle=(0, (2, 1.5)),
                linewidth=1,
                label=label,
                zorder=3,
            )
    if ok["baseline_bytes"].notna().any():
        floor = ok["baseline_bytes"].median() / MIB
        ax.axhline(floor, color=theme.MUTED, linewidth=1.2, linestyle=(0, (1, 1)), label=bars.FLOOR, zorder=4)
    ax.set_ylabel(f"{results.label('steady_peak_bytes', 'MiB')}\n{instruments(results)}")
    bars.finish(ax, results)
    bars.beside(ax)
    return ax


def instruments(results: Results) -> str:
    """Return what the memory was measured with, in words."""
    return " / ".join(INSTRUMENTS.get(i, i) for i in results.ok["memory_instrument"].dropna().unique())


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    peaks = bars.in_words(results, "steady_peak_bytes", MIB)
    return f"Bar chart of steady peak memory in MiB, {instruments(results)}. {peaks}."


FIGURE = Figure(
    name="memory",
    title="Memory",
    caption=(
        "Bar: peak memory of the steady training steps, median of the processes. Outline: peak memory until the end of "
        "the warm-up, including workspaces of kernels that were only tried. The axis names the instrument; values of "
        "different instruments cannot be compared."
    ),
    draw=draw,
    describe=describe,
)
