"""What the maps of underflow and overflow share: a share by layer and step, pale where it is zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, layer_samples
from ampbench.visualize.read.frame import Results

MOST_NAMED = 20
"""Names of layers that fit beside a map; with more layers every second, third … one is named."""
MOST_LETTERS = 22
"""Of the name of a layer; of a longer one the end is kept, which differs between layers."""
SHARES = (0, 0.01, 0.1, 0.5, 1)
"""Ticks of the colour bar."""
COLOURS = "rocket_r"


def figure(rows: Callable[[Results], pd.DataFrame], *, name: str, title: str, caption: str, what: str) -> Figure:
    """Return the figure of a share of the layers' entries.

    Args:
        rows: returns columns recipe, layer, depth, step and value (a share), several rows a place are averaged.
        name: of the picture.
        title: of the figure.
        caption: what its colours mean.
        what: label of the colour bar.
    """

    def draw(results: Results, ax: Axes) -> Axes:
        """Draw the shares of one recipe; the scale, a power law that shows small shares too, is always the same."""
        import seaborn
        from matplotlib.colors import PowerNorm

        shares = rows(results)
        if shares.empty:
            return bars.say(ax, layer_samples.NOTHING)
        if shares["recipe"].nunique() > 1:
            raise ValueError("a heat map is drawn for one recipe: use results.where(recipe=...)")
        layers = shares.drop_duplicates("layer").sort_values("depth")["layer"].astype(str)
        grid = shares.astype({"layer": str}).pivot_table(index="layer", columns="step", values="value")
        grid = grid.reindex(layers)
        norm = PowerNorm(0.4, vmin=0, vmax=1)
        drawn = ax.imshow(grid, cmap=seaborn.color_palette(COLOURS, as_cmap=True), norm=norm, aspect="auto")
        beside = ax.inset_axes((1.02, 0.0, 0.025, 1.0))
        bar = ax.figure.colorbar(drawn, cax=beside, ticks=SHARES, format=lambda share, _: f"{100 * share:.0f} %")
        bar.ax.tick_params(labelsize=theme.SMALL)
        bar.set_label(what, fontsize=theme.SMALL)
        every = -(-len(grid) // MOST_NAMED)
        ax.set_yticks(range(0, len(grid), every), [_short(layer) for layer in grid.index[::every]])
        at = np.unique(np.linspace(0, grid.shape[1] - 1, min(5, grid.shape[1])).round().astype(int))
        ax.set_xticks(at, [f"{step:,}" for step in grid.columns[at]])
        ax.tick_params(labelsize=theme.SMALL)
        ax.grid(visible=False)
        ax.set_xlabel(results.label("step"))
        return ax

    def describe(results: Results) -> str:
        """Say which layer has the largest share."""
        shares = rows(results)
        if shares.empty:
            return layer_samples.NOTHING_IN_WORDS
        by_layer = shares.groupby("layer", observed=True)["value"].max()
        worst = by_layer.idxmax()
        return f"at most {100 * by_layer[worst]:.1f} % of a layer's {what} ({worst})"

    def height_in(results: Results) -> float:
        return max(1.2, 0.17 * min(MOST_NAMED, rows(results)["layer"].nunique()))

    return Figure(
        name=name,
        title=title,
        caption=caption,
        draw=draw,
        describe=describe,
        by_batch_size=True,
        by_recipe=True,
        shown=lambda results: bool((rows(results)["value"] > 0).any()),
        height_in=height_in,
    )


def _short(layer: str) -> str:
    return layer if len(layer) <= MOST_LETTERS else "…" + layer[1 - MOST_LETTERS :]
