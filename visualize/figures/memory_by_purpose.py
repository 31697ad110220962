"""What the memory of a step is used for, over a few steps: a stacked area of the categories, a panel a recipe."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ampbench.schema.memory import MIB
from ampbench.schema.memory_history import CATEGORIES
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.figures.shared.memory_kinds import KINDS, REST
from ampbench.visualize.read.frame import Results

LOOKS: dict[str, tuple[str, str]] = {
    **{kind: (colour, hatch) for kind, (_, colour, hatch) in KINDS.items() if kind in CATEGORIES},
    "autocast cache": KINDS["cast copies"][1:],
    "activations": KINDS[REST][1:],
    "backward": ("#b5651d", "..."),
    "workspace": ("#b9a7d1", ""),
    "cuBLAS workspace": ("#7d5ba6", "..."),
    "buffers": ("#5f6b6d", ""),
    "data": ("#8c8c8c", "///"),
    "before recording": ("#dcdcdc", ""),
    "other": ("#4d4d4d", "xxx"),
}
"""Category -> the colour and the hatch of its area; what has a bar in the figure of memory looks as it does there."""
UNKNOWN = ("#111111", "")
"""Of a category that a newer ampbench wrote."""


def parts_of(results: Results) -> pd.DataFrame:
    """Return MiB with a row for each event and a column for each category, from the lowest to the highest of a stack.

    Of the first finished cell of each recipe; empty where the tables hold no categories, as on a CPU and in results of
    an older ampbench.
    """
    rows = results.of_one_cell_each("memory")
    rows = rows[rows["category"].notna()] if "category" in rows else rows.iloc[:0]
    words = rows.assign(category=rows["category"].astype(str) if "category" in rows else "")
    held = words.pivot_table("allocated_bytes", "event", "category", aggfunc="sum", fill_value=0) / MIB
    known = [name for name in CATEGORIES if name in held]
    return held[[*known, *sorted(set(held) - set(known))]]


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the categories of one recipe in MiB over the recorded steps, stacked from zero.

    Args:
        results: of one subject, batch size and recipe.
        ax: drawn into, and returned.
    """
    held = parts_of(results)
    if held.empty:
        return bars.say(ax, "What the memory is used for over time was not recorded, so there is nothing to draw.")
    share = held.index.to_numpy() / max(1, held.index.max())
    top = np.zeros(len(held))
    for category in held:
        colour, hatch = LOOKS.get(str(category), UNKNOWN)
        below, top = top, top + held[category].to_numpy()
        # Memory changes only at an event: between two events the level is constant.
        ax.fill_between(
            share, below, top, step="post", facecolor=colour, edgecolor="white", hatch=hatch, linewidth=0.0,
            label=str(category),
        )  # fmt: skip
    ax.plot(share, top, color=theme.INK, linewidth=0.9, drawstyle="steps-post")
    peak = int(top.argmax())
    ax.plot(share[peak], top[peak], color=theme.INK, marker="o", markersize=4, markeredgecolor="white")
    side = "left" if share[peak] <= 0.15 else "right" if share[peak] >= 0.85 else "center"
    ax.annotate(
        f"peak {bars.short(float(top[peak]))}", (share[peak], top[peak]), xytext=(0, 5), textcoords="offset points",
        ha=side, fontsize=theme.SMALL, color=theme.INK, path_effects=bars.HALO, zorder=5,
    )  # fmt: skip
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.18 * float(top.max()))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    bars.plain_numbers(ax.yaxis)
    ax.set_xlabel("recorded events of the allocator")
    ax.set_ylabel("allocated memory (MiB)")
    bars.legend(ax)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    held = parts_of(results)
    if held.empty:
        return "no history of the memory by purpose"
    at_peak = held.loc[held.sum(axis=1).idxmax()]
    parts = ", ".join(f"{category} {mib:,.0f}" for category, mib in at_peak.items() if round(mib))
    return f"Stacked areas of allocated memory by purpose; at the peak of {at_peak.sum():,.0f} MiB: {parts}."


def shown(results: Results) -> bool:
    """Return whether the tables hold categories over time."""
    rows = results.rows_of("memory")
    return "category" in rows and bool(rows["category"].notna().any())


FIGURE = Figure(
    name="memory_by_purpose",
    title="Memory over steps by purpose",
    caption=(
        "Memory requested by tensors over the same training steps, in an untimed pass after warm-up, by what it is "
        "used for; the areas of a recipe sum to its line in the figure of memory over steps. Weights, gradients, "
        "optimizer state, buffers and data are known by their addresses; the other purposes by the Python stack that "
        "made them. Backward: gradients of activations, and workspace of the backward pass."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    by_batch_size=True,
    by_recipe=True,
    shared="y",
)
