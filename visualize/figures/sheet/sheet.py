"""One sheet: the panels of one figure under a title, with one legend and a foot that says what the numbers rest on."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.panels import Panels
from ampbench.visualize.figures.shared import curves
from ampbench.visualize.figures.shared.bars import legend_entries
from ampbench.visualize.figures.sheet import layout
from ampbench.visualize.figures.sheet.foot import foot
from ampbench.visualize.read.frame import Results

WIDTH_IN = 6.4
"""Width of every sheet: at half of a page, 8 cm, its text has half of its size and is still read."""
SMALLER = 0.8
"""Height of one of several panels, as a share of a lone one's."""
FOOT_WIDTH = 108
"""Characters of a line of the foot."""


def sheet(
    figure: Figure, panels: Panels | dict[str, Results], title: str = "", fig: MatplotlibFigure | None = None
) -> MatplotlibFigure:
    """Draw every panel under its title.

    Args:
        figure: of `figures.load(name)`.
        panels: those that `panels.chosen` returns, or title -> results.
        title: above all panels; the figure's own if it is empty.
        fig: what to draw on, as one of pyplot's; left out, a figure that nobody else holds and nobody has to close.
    """
    shown, note = (panels.shown, panels.note) if isinstance(panels, Panels) else (panels, "")
    columns = 1 if figure.wide or len(shown) == 1 else 2
    several = len(shown) > 1
    heights = [figure.height_in(results) * (SMALLER if several else 1) for results in shown.values()]
    fig = fig or MatplotlibFigure()
    fig.set_size_inches(WIDTH_IN, sum(heights))
    used = []
    for (name, results), height in zip(shown.items(), heights, strict=True):
        used.append(fig.add_axes((0.2, 0.1, 0.75 / columns, height / sum(heights)), label=name))  # about the final size
        figure.draw(results, used[-1])
        used[-1].set_title(name if several else "")
        if (own := used[-1].get_legend()) is not None:
            own.remove()
    _share(used, figure.shared)
    for ax in used:
        curves.place_inset(ax)
    words = textwrap.wrap(foot(shown.values()), FOOT_WIDTH) + textwrap.wrap(note, FOOT_WIDTH)
    layout.place(fig, used, heights, columns, title or figure.title, words, legend_entries(*used))
    return fig


def _share(axes: list[Axes], shared: str) -> None:
    """Give all panels the widest limits of any of them; a panel of a sentence has none."""
    drawn = [ax for ax in axes if ax.axison]
    for name in "xy" if shared == "both" else shared:
        if len(drawn) > 1:
            low, high = zip(*(getattr(ax, f"get_{name}lim")() for ax in drawn), strict=True)
            for ax in drawn:
                getattr(ax, f"set_{name}lim")(min(low), max(high))
