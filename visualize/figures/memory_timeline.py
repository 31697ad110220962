"""Allocated memory over a few training steps: one line per recipe, with its highest point marked."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from ampbench.schema.memory import MIB
from ampbench.visualize.figures import bars, theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order


def draw_levels(frame: pd.DataFrame, ax: Axes, styles: Mapping[str, theme.Style] | None = None) -> Axes:
    """Draw allocated memory in MiB over the recorded steps, from zero, one line per recipe.

    Args:
        frame: columns recipe, event, allocated_bytes; for each recipe the rows of one cell.
        ax: drawn into, and returned.
        styles: of every recipe in the folder; of those in the frame if not given.
    """
    if frame.empty:
        return bars.say(ax, "No history of the memory was recorded, so there is nothing to draw.")
    for recipe, style in (styles or theme.styles(frame["recipe"])).items():
        own = frame[frame["recipe"] == recipe].sort_values("event")
        if own.empty:
            continue
        share = (own["event"] / max(1, own["event"].max())).to_numpy()
        level = (own["allocated_bytes"] / MIB).to_numpy()
        top = int(level.argmax())
        # Memory changes only at an event: between two events the level is constant.
        ax.plot(share, level, color=style.colour, linestyle=style.linestyle, linewidth=1.3, drawstyle="steps-post")
        ax.plot(
            share[top],
            level[top],
            color=style.colour,
            linestyle=style.linestyle,
            marker=style.marker,
            markersize=8,
            markeredgecolor="white",
            markeredgewidth=0.8,
            label=f"{recipe}: peak {level[top]:,.0f}",
            zorder=4,
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.04)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    bars.plain_numbers(ax.yaxis)
    ax.set_xlabel("recorded events of the allocator")
    ax.set_ylabel("allocated memory (MiB)")
    ax.legend(**bars.BESIDE)
    return ax


def describe_levels(frame: pd.DataFrame) -> str:
    """Say in words what the figure shows."""
    if frame.empty:
        return "no history of the memory"
    peaks = frame.groupby("recipe", observed=True)["allocated_bytes"].max() / MIB
    return "peak in MiB: " + ", ".join(f"{recipe} {peaks[recipe]:,.0f}" for recipe in in_order(peaks.index))


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the history of one cell of each recipe."""
    return draw_levels(results.of_one_cell_each("memory"), ax, theme.styles_of(results))


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    return describe_levels(results.of_one_cell_each("memory"))


FIGURE = Figure(
    name="memory_over_steps",
    title="Memory over steps",
    caption=(
        "Memory requested by tensors over the same training steps, in an untimed pass after warm-up. Mark: the peak. "
        "Horizontal axis: share of the recorded allocations and frees, so that the same step of two recipes is at the "
        "same place, however fast they run. The line is thinned: the events are divided into 200 groups, and each "
        "group keeps its highest and its lowest point."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=lambda results: len(results.load("memory")) > 0,
)
