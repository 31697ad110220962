"""One sheet: one or several panels of the same figure, with one legend."""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from ampbench.visualize.figures.bars import legend_entries
from ampbench.visualize.read.frame import Results


def sheet(draw: Callable[[Results, Axes], Axes], shown: dict[str, Results]) -> MatplotlibFigure:
    """Draw every panel under its title.

    Args:
        draw: the `draw` of a figure.
        shown: title -> the results of that panel, as the figure's `panels` returns them.
    """
    columns = min(2, len(shown))
    lines = math.ceil(len(shown) / columns)
    num_places = max(len(p.batch_sizes) * len(p.recipes) for p in shown.values())
    width = min(13.0, max(8.6, 3.5 + 0.35 * num_places)) if columns == 1 else 13.0
    fig, axes = plt.subplots(lines, columns, figsize=(width, 4.8 * lines), layout="constrained", squeeze=False)
    for ax, (title, results) in zip(axes.flat, shown.items(), strict=False):
        draw(results, ax)
        ax.set_title(title)
        if len(shown) > 1 and ax.get_legend():
            ax.get_legend().remove()
    spare = axes.flat[len(shown) :]
    for ax in spare:
        ax.set_axis_off()
    entries = legend_entries(*axes.flat)
    if len(shown) > 1 and entries:
        if len(spare):
            spare[0].legend(list(entries.values()), list(entries), loc="center left", fontsize=11)
        else:
            fig.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=min(5, len(entries)))
    return fig
