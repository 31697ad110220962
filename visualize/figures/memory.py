"""Memory by batch size: a bar for the peak, divided into what it consists of, and a line for the start-up's peak."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.schema.memory import MIB
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.figures.shared.memory_kinds import KINDS, parts_of
from ampbench.visualize.judge.runs.pairs import positive
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.peaks import LABEL, PEAK, instrument_of

STARTUP = "start-up peak"


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the peak memory in MiB by batch size and recipe, from zero, divided by kind.

    Args:
        results: of one subject.
        ax: drawn into, and returned.
    """
    if not shown(results):
        return bars.say(ax, "No cell ran to its end with its memory measured, so there is nothing to draw.")
    instrument, drawn = instrument_of(results.ok), list(bars.rows(results))
    parts = {row: parts_of(row.ok, instrument) for row in drawn if len(positive(row.ok[PEAK]))}
    for kind, (_, colour, hatch) in KINDS.items():
        if any(kind in own for own in parts.values()):
            ax.barh(0, 0, color=colour, edgecolor="white", hatch=hatch, label=kind)
    for row in drawn:
        if row not in parts:
            bars.why_missing(ax, row)
            continue
        begin = 0.0
        for kind, mib in parts[row].items():
            _, colour, hatch = KINDS.get(kind, ((), row.style.colour, row.style.hatch))
            ax.barh(
                row.y, mib, bars.THICK, left=begin, color=colour, edgecolor="white", hatch=hatch, linewidth=0.6,
                zorder=2,
            )  # fmt: skip
            begin += mib
        ax.barh(row.y, begin, bars.THICK, fill=False, edgecolor="#555555", linewidth=0.7, zorder=3)
        top = begin
        startup = row.ok["startup_peak_bytes"].median() / MIB
        if startup > begin and not instrument.of_pass:
            ax.plot(
                [begin, startup, startup], [row.y, row.y, row.y - 0.3], color=theme.MUTED, linewidth=1.2,
                linestyle=(0, (2, 1)), label=STARTUP, zorder=1,
            )  # fmt: skip
            top = startup
        ratio = bars.times(row.verdict.memory if row.verdict else None)
        bars.beside(ax, row, top, f"{bars.short(begin)}  {ratio}".strip())
    ax.set_xlabel(f"{LABEL} (MiB)\n{instrument.words}")
    bars.finish(ax, results, drawn)
    bars.legend(ax)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    peaks = bars.in_words(results, results.ok[PEAK] / MIB)
    return f"Bar chart of {LABEL} (MiB), {instrument_of(results.ok).words}. {peaks}."


def shown(results: Results) -> bool:
    """Return whether any peak was measured."""
    return len(positive(results.ok[PEAK])) > 0


FIGURE = Figure(
    name="memory",
    title="Memory",
    caption=(
        "Bar: peak memory of the training steps, mean of the processes, by the instrument that the axis names; "
        "values of different instruments cannot be compared. Its parts: weights, gradients, optimizer state, copies "
        "that autocast makes of the weights, buffers and data are known by arithmetic; the rest is activations and "
        "workspace. Broken line: peak until the end of the warm-up, workspaces of kernels that were only tried "
        "included. Behind a bar: the ratio to the reference, as in the table."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    height_in=bars.height_in,
    key=True,
)
