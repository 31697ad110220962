"""Where a recipe saves memory: what two recipes hold at their peaks, by category, and the difference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ampbench.schema.memory import MIB
from ampbench.schema.memory_history import CATEGORIES
from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.figures.shared.memory_kinds import KINDS, parts_of
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.peaks import PEAK, instrument_of
from ampbench.visualize.read.recipes import in_order

HEIGHT = 0.38
"""Height of a bar; the unit is the distance between two categories."""


def draw_composition(frame: pd.DataFrame, ax: Axes, styles: Mapping[str, theme.Style] | None = None) -> Axes:
    """Draw two recipes' memory at the peak in MiB by category, from zero, with the difference beside the bars.

    Args:
        frame: columns recipe, category, allocated_bytes; for each of two recipes the rows of one cell's peak.
        ax: drawn into, and returned.
        styles: of every recipe in the folder; of those in the frame if not given.

    Raises:
        ValueError: there are not two recipes.
    """
    if frame.empty:
        return bars.say(ax, "No history of the memory was recorded, so there is nothing to compare.")
    held = by_category(frame)
    first, second = held.columns
    looks = styles or theme.styles(held.columns)
    y = np.arange(len(held))
    for recipe, shift in ((first, -HEIGHT / 2), (second, HEIGHT / 2)):
        style = looks[recipe]
        ax.barh(
            y + shift,
            held[recipe],
            0.92 * HEIGHT,
            color=style.colour,
            edgecolor="white",
            linewidth=0.6,
            hatch=style.hatch,
            label=recipe,
            zorder=2,
        )
    for spot, (_, row) in zip(y, held.iterrows(), strict=True):
        ax.annotate(
            signed(row[second] - row[first]),
            (row.max(), spot),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color="#222222" if round(abs(row[second] - row[first]), 1) else theme.MUTED,
        )
    ax.set_yticks(y, list(held.index))
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, held.to_numpy().max() * 1.18)
    bars.plain_numbers(ax.xaxis)
    total = held[second].sum() - held[first].sum()
    share = f", {total / held[first].sum():+.0%}".replace("-", "−") if held[first].sum() else ""
    sums = f"{first} {bars.short(held[first].sum())}, {second} {bars.short(held[second].sum())}"
    ax.set_xlabel(f"memory at the peak (MiB)\n{sums}: {signed(total)}{share}")
    bars.legend(ax)
    return ax


def by_category(frame: pd.DataFrame) -> pd.DataFrame:
    """Return MiB with a row for each category that either recipe holds and a column for each of the two.

    Raises:
        ValueError: there are not two recipes.
    """
    recipes = in_order(frame["recipe"])
    if len(recipes) != 2:
        raise ValueError(
            f"two recipes are compared, and there are {len(recipes)} ({', '.join(recipes)}): choose two, as in "
            "frame[frame['recipe'].isin(['fp32', 'bf16_amp'])]"
        )
    words = frame.astype({"recipe": str, "category": str})
    held = words.pivot_table("allocated_bytes", "category", "recipe", aggfunc="sum", fill_value=0)
    present = set(held.index)
    rows = [c for c in dict.fromkeys((*CATEGORIES, *KINDS)) if c in present]
    rows += sorted(present.difference(rows))
    return held.reindex(index=rows, columns=recipes) / MIB


def signed(mib: float) -> str:
    """Return a difference with its sign, from 10 on in whole MiB; 0 without a sign."""
    if not round(abs(mib), 1):
        return "0"
    return (f"{mib:+,.0f}" if abs(mib) >= 10 else f"{mib:+.1f}").replace("-", "−")


def describe_composition(frame: pd.DataFrame) -> str:
    """Say in words what the figure shows."""
    if frame.empty:
        return "no history of the memory"
    held = by_category(frame)
    first, second = held.columns
    change = held[second] - held[first]
    parts = [f"{category} {signed(mib)}" for category, mib in change.items()]
    return f"memory at the peak in MiB, {second} minus {first}: {signed(change.sum())}; " + ", ".join(parts)


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the first recipe beside the one with the least memory at its peak."""
    return draw_composition(_two(results), ax, theme.styles_of(results))


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    return describe_composition(_two(results))


def _two(results: Results) -> pd.DataFrame:
    """Return what the first recipe and the one with the least memory hold, from the allocator or by arithmetic."""
    rows = results.of_one_cell_each("allocations")
    rows = rows[rows["moment"] == "peak"]
    if rows.empty:
        rows = _by_arithmetic(results)
    peaks = rows.groupby(rows["recipe"].astype(str), sort=False)["allocated_bytes"].sum()
    names = in_order(peaks.index)
    if len(names) < 2:
        return rows.iloc[:0]
    return rows[rows["recipe"].isin([names[0], peaks[names[1:]].idxmin()])]


def _by_arithmetic(results: Results) -> pd.DataFrame:
    """Return the parts of each recipe's peak as the bars of memory show them, where no allocator was recorded."""
    instrument = instrument_of(results.ok)
    known = [(recipe, own[own[PEAK] > 0]) for recipe, own in results.ok.groupby("recipe", observed=True)]
    rows = [
        (recipe, kind, mib * MIB)
        for recipe, own in known
        if len(own) and results.ok["batch_size"].nunique() == 1
        for kind, mib in parts_of(own, instrument).items()
        if kind
    ]
    return pd.DataFrame(rows, columns=["recipe", "category", "allocated_bytes"])


def shown(results: Results) -> bool:
    """Return whether any two recipes of one subject and batch size can be compared."""
    ok = results.ok
    is_split = "weights_bytes" in ok and ok["weights_bytes"].gt(0).any()
    if not is_split and results.of_one_cell_each("allocations").empty:
        return False
    sizes = ok.groupby(["subject", "batch_size"], observed=True)["recipe"].nunique()
    return any(
        len(_two(results.where(subject=subject, batch_size=size))) > 0
        for (subject, size), num_recipes in sizes.items()
        if num_recipes > 1
    )


FIGURE = Figure(
    name="memory_at_the_peak",
    title="Memory at the peak",
    caption=(
        "Memory that was live when each recipe held the most, by purpose. Numbers: the second recipe minus the first. "
        "Backward: gradients of activations and workspace of the backward pass. Before recording: allocated before the "
        "recorded steps, so its purpose is unknown. Without a record of the allocator: the parts "
        "of the figure of memory."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=shown,
)
