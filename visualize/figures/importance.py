"""How much each setting of a search mattered, beside what chance alone would show."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars
from ampbench.visualize.findings import searched
from ampbench.visualize.read.frame import Results

ROW_IN = 0.4


def studies(results: Results) -> tuple[str, ...]:
    """Return the studies of the search."""
    return results.search.studies if results.search else ()


def draw(results: Results, ax: Axes) -> Axes:
    """Draw a bar for each setting, of every study."""
    rows = [(study, one) for study in studies(results) for one in searched.importance(results, study)]
    if not rows:
        return bars.say(ax, f"Fewer than {searched.LEAST_TRIALS} trials ended with a result.")
    for y, (_, one) in enumerate(rows):
        ax.barh(
            y, 100 * one.share, height=0.6, color="#005fb0" if one.is_told else "white", edgecolor="#005fb0",
            hatch="" if one.is_told else "///", linewidth=1,
        )  # fmt: skip
        ax.plot([100 * one.chance] * 2, [y - 0.42, y + 0.42], color=theme.INK, linewidth=2, linestyle=(0, (2, 1)))
        said = f"{one.share:.0%}" + ("" if one.is_told else ", may be chance")
        ax.annotate(
            said, (100 * max(one.share, one.chance), y), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=theme.SMALL, color=theme.INK,
        )  # fmt: skip
    names = [f"{one.field}\n{study}" if len(studies(results)) > 1 else one.field for study, one in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0, 118)
    ax.set_xlabel("share of the spread of the trials that a setting explains alone (%)")
    ax.grid(visible=False, axis="y")
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    parts = []
    for study in studies(results):
        found = searched.importance(results, study)
        shares = ", ".join(f"{one.field} {one.share:.0%}" for one in found)
        if found:
            parts.append(f"{study + ': ' if study else ''}{shares}; chance up to {found[0].chance:.0%}")
    return "; ".join(parts)


def shown(results: Results) -> bool:
    """Whether enough trials ended with a result."""
    return any(searched.importance(results, study) for study in studies(results))


FIGURE = Figure(
    name="importance",
    title="What mattered",
    caption=(
        "Bar: share of the spread of the trials' ranks that one setting explains by itself. Dashed line: what 95 of "
        "100 shuffles of the results stay below, for all settings together. Hatched bars do not pass it: they may be "
        "chance. Settings that matter only together are not seen."
    ),
    draw=draw,
    describe=describe,
    shown=shown,
    of_all=True,
    of_search=True,
    key=True,
    height_in=lambda results: max(
        1.2, ROW_IN * sum(len(searched.importance(results, study)) for study in studies(results))
    ),
)
