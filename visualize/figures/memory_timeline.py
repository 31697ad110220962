"""Allocated memory over a few training steps: one line per recipe, with its highest point marked."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from ampbench.schema.memory import MIB
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.figures.shared.memory_kinds import KINDS
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

LINE_SHARE, LINE_CHARACTERS = 0.075, 84
"""Height of a line of small text, as a share of a panel of several, and the characters that it has room for."""


def draw_levels(
    frame: pd.DataFrame,
    ax: Axes,
    styles: Mapping[str, theme.Style] | None = None,
    static: Mapping[str, float] | None = None,
) -> Axes:
    """Draw allocated memory in MiB over the recorded steps, from zero, one line per recipe.

    Args:
        frame: columns recipe, event, allocated_bytes; for each recipe the rows of one cell.
        ax: drawn into, and returned.
        styles: of every recipe in the folder; of those in the frame if not given.
        static: kind -> MiB of what stays from step to step, as bands behind the lines; none if not given.
    """
    if frame.empty:
        return bars.say(ax, "No history of the memory was recorded, so there is nothing to draw.")
    peaks = frame.groupby(frame["recipe"].astype(str), sort=False)["allocated_bytes"].max() / MIB
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
            label=recipe,
            zorder=4,
        )
    _bands(ax, static or {})
    ax.set_xlim(0, 1)
    _peaks_above(ax, {recipe: float(peaks[recipe]) for recipe in in_order(peaks.index)})
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    bars.plain_numbers(ax.yaxis)
    ax.set_xlabel("recorded events of the allocator")
    ax.set_ylabel("allocated memory (MiB)")
    bars.legend(ax)
    return ax


def _peaks_above(ax: Axes, peaks: Mapping[str, float]) -> None:
    """Write the peaks at the top of the axes, which end so high that no line comes near: several peak at one place."""
    words = "peaks (MiB): " + ", ".join(f"{recipe} {bars.short(mib)}" for recipe, mib in peaks.items())
    lines = textwrap.wrap(words, LINE_CHARACTERS)
    ax.set_ylim(0, max(peaks.values()) / max(0.4, 0.92 - LINE_SHARE * len(lines)) or 1)
    ax.text(
        0.01, 0.98, "\n".join(lines), transform=ax.transAxes, ha="left", va="top", fontsize=theme.SMALL,
        color=theme.INK, path_effects=bars.HALO, zorder=5,
    )  # fmt: skip


def _bands(ax: Axes, static: Mapping[str, float]) -> None:
    """Draw what stays from step to step as bands from zero up, each with its name in the legend."""
    bottom = 0.0
    for kind, mib in static.items():
        _, colour, hatch = KINDS[kind]
        ax.axhspan(
            bottom, bottom + mib, facecolor=colour, edgecolor="white", hatch=hatch, alpha=0.35, zorder=0, label=kind
        )
        bottom += mib


def levels_of(results: Results) -> pd.DataFrame:
    """Return the allocated memory of one cell of each recipe, of all categories together."""
    rows = results.of_one_cell_each("memory")
    return rows[rows["category"].isna()] if "category" in rows else rows


def static_of(results: Results) -> dict[str, float]:
    """Return kind -> MiB of weights, gradients and optimizer state of the first recipe that has a history."""
    rows = levels_of(results)
    own = results.cells[results.cells["cell_id"].isin(rows["cell_id"].unique())].sort_values("recipe")
    if own.empty:
        return {}
    kinds = {kind: KINDS[kind][0][0] for kind in ("weights", "gradients", "optimizer state")}
    first = own.iloc[0]
    return {kind: first[column] / MIB for kind, column in kinds.items() if column in own and first[column] > 0}


def describe_levels(frame: pd.DataFrame) -> str:
    """Say in words what the figure shows."""
    if frame.empty:
        return "no history of the memory"
    peaks = frame.groupby("recipe", observed=True)["allocated_bytes"].max() / MIB
    return "peak in MiB: " + ", ".join(f"{recipe} {peaks[recipe]:,.0f}" for recipe in in_order(peaks.index))


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the history of one cell of each recipe."""
    rows = levels_of(results)
    return draw_levels(rows, ax, theme.styles_of(results), static_of(results))


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    return describe_levels(levels_of(results))


FIGURE = Figure(
    name="memory_over_steps",
    title="Memory over steps",
    caption=(
        "Memory requested by tensors over the same training steps, in an untimed pass after warm-up. Mark: the peak. "
        "Bands: weights, gradients and optimizer state of the first recipe, by arithmetic. "
        "Horizontal axis: share of the recorded allocations and frees, so that the same step of two recipes is at the "
        "same place, however fast they run. The line is thinned: the events are divided into 200 groups, and each "
        "group keeps its highest and its lowest point."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=lambda results: len(levels_of(results)) > 0,
    shared="y",
)
