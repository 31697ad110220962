"""What the figures of waterfalls share: from one recipe's total to another's, kind by kind, in floating bars."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.figures.theme import Style
from ampbench.visualize.findings.explanation import Waterfall, amount, signed
from ampbench.visualize.read.frame import Results

MORE, LESS = "#9a3b00", "#2e6f40"
"""Colours of what the second recipe adds and saves; hatches and signs say the same."""


def draw_waterfall(found: Waterfall | None, ax: Axes, styles: dict[str, Style], *, nothing: str) -> Axes:
    """Draw the totals of two recipes and the changes between them, from above to below.

    Args:
        found: None if it was not measured.
        ax: drawn into, and returned.
        styles: of both recipes.
        nothing: what is written if there is nothing to draw.
    """
    if found is None or not found.bars:
        return bars.say(ax, nothing)
    labels = [found.a, *(bar.label for bar in found.bars), found.b]
    last, level = len(labels) - 1, found.total_a
    longest = found.total_a
    for y, (recipe, total) in ((0, (found.a, found.total_a)), (last, (found.b, found.total_b))):
        style = styles[recipe]
        ax.barh(y, total, 0.7, color=style.colour, hatch=style.hatch, edgecolor="white", linewidth=0.8, zorder=2)
        _number(ax, total, y, amount(total))
    for y, bar in enumerate(found.bars, start=1):
        grows = bar.change > 0
        colour, hatch = (MORE, "xx") if grows else (LESS, "")
        ax.barh(y, bar.change, 0.7, left=level, color=colour, hatch=hatch, edgecolor="white", linewidth=0.8, zorder=2)
        ax.plot([level, level], [y - 1, y], color=theme.MUTED, linewidth=0.8, zorder=1)
        level += bar.change
        longest = max(longest, level)
        _number(ax, max(level, level - bar.change), y, signed(bar.change))
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1.18 * longest)
    bars.plain_numbers(ax.xaxis)
    method = textwrap.fill(found.method.partition("; longest")[0], 46)
    ax.set_xlabel(f"{found.title[0].lower()}{found.title[1:]} ({found.unit})\n{method}")
    return ax


def in_any(results: Results, found: Callable[[Results], Waterfall | None]) -> bool:
    """Return whether any subject and batch size has a waterfall with a change to show."""
    if "step_ms" not in results.ok or results.ok["step_ms"].isna().all():
        return False  # no recipe is the fastest
    places = results.ok[["subject", "batch_size"]].drop_duplicates().itertuples(index=False)
    parts = (results.where(subject=subject, batch_size=size) for subject, size in places)
    return any(one is not None and bool(one.bars) for one in map(found, parts))


def in_words(found: Waterfall | None) -> str:
    """Say in words what the figure shows."""
    if found is None or not found.bars:
        return "nothing was measured"
    changes = ", ".join(f"{bar.label} {signed(bar.change)}" for bar in found.bars)
    totals = f"{found.a} {amount(found.total_a)}, {found.b} {amount(found.total_b)}"
    return f"{found.title} in {found.unit}: {totals}; changes: {changes}"


def _number(ax: Axes, end: float, y: int, words: str) -> None:
    ax.annotate(words, (end, y), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9, color="#222222")
