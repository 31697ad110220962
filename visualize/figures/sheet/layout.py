"""Where the panels of a sheet are: each as high as it asks for, whatever its labels need, with legend and foot below.

Matplotlib's constrained layout measures everything four times; here each panel is measured once, and the sheet is made
as high as that needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ampbench.visualize.figures import theme

PAD_IN, TITLE_IN, LINE_IN = 0.1, 0.34, 0.15
"""Space around a panel, height of the title of a sheet, height of a line of its foot; in inches."""
LEGEND_WIDTH = 80
"""Characters of a line of the legend."""


def place(
    fig: Figure,
    axes: Sequence[Axes],
    heights: Sequence[float],
    columns: int,
    title: str,
    foot: Sequence[str],
    entries: Mapping[str, Artist],
) -> None:
    """Give every panel its place, and the figure its height.

    Args:
        fig: of the right width.
        axes: the panels, line by line.
        heights: of the panels' axes, in inches.
        columns: panels of a line.
        title: of the sheet.
        foot: lines of text at the bottom.
        entries: name -> handle of the legend; there is none if it is empty.
    """
    width = fig.get_figwidth()
    margins = _margins(fig, axes)
    lines = [range(k, min(k + columns, len(axes))) for k in range(0, len(axes), columns)]
    left = [max(margins[k, 0] for k in range(c, len(axes), columns)) for c in range(columns)]
    right = [max(margins[k, 1] for k in range(c, len(axes), columns)) for c in range(columns)]
    across = (width - sum(left) - sum(right) - PAD_IN * (columns + 1)) / columns
    legend_in = _legend(fig, entries)
    bottom_in = PAD_IN + LINE_IN * len(foot) + legend_in
    panels_in = [max(heights[k] for k in line) + max(margins[k, 2] + margins[k, 3] for k in line) for line in lines]
    height = bottom_in + sum(panels_in) + PAD_IN * len(lines) + TITLE_IN
    fig.set_figheight(height)
    top = height - TITLE_IN
    for line, panel_in in zip(lines, panels_in, strict=True):
        begin = 0.0
        for column, k in enumerate(line):
            begin += PAD_IN + left[column]
            y = top - margins[k, 3] - heights[k]
            axes[k].set_position((begin / width, y / height, across / width, heights[k] / height))
            begin += across + right[column]
        top -= panel_in + PAD_IN
    fig.text(
        PAD_IN / width, 1 - 0.7 * PAD_IN / height, title, va="top", fontsize=12, fontweight="bold", color=theme.INK
    )
    fig.text(
        PAD_IN / width, 0.6 * PAD_IN / height, "\n".join(foot), va="bottom", fontsize=theme.SMALL - 1, color=theme.MUTED
    )
    for legend in fig.legends:
        legend.set_bbox_to_anchor((0.5, (PAD_IN + LINE_IN * len(foot)) / height), transform=fig.transFigure)


def _margins(fig: Figure, axes: Sequence[Axes]) -> np.ndarray:
    """Return what the labels of each panel need, in inches: left, right, below, above."""
    renderer = FigureCanvasAgg(fig).get_renderer()
    found = []
    for ax in axes:
        inner, outer = ax.get_window_extent(renderer), ax.get_tightbbox(renderer) or ax.get_window_extent(renderer)
        found.append((inner.x0 - outer.x0, outer.x1 - inner.x1, inner.y0 - outer.y0, outer.y1 - inner.y1))
    return np.clip(np.array(found) / fig.dpi, 0, 2.4)


def _legend(fig: Figure, entries: Mapping[str, Artist]) -> float:
    """Add the legend, and return its height in inches."""
    if not entries:
        return 0.0
    columns = max(1, min(len(entries), LEGEND_WIDTH // (max(map(len, entries)) + 7)))
    legend = fig.legend(
        list(entries.values()), list(entries), loc="lower center", ncols=columns, borderaxespad=0.0, borderpad=0.2
    )
    return float(legend.get_window_extent(FigureCanvasAgg(fig).get_renderer()).height) / fig.dpi + 0.5 * PAD_IN
