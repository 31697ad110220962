"""Where gradients underflow: by layer and step, the share of gradient entries that a format flushes to zero."""

from __future__ import annotations

from matplotlib.axes import Axes

from ampbench.visualize.figures import bars, layer_samples
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import flushed

MOST_NAMED = 24
"""Names of layers that fit beside a heat map; with more layers every second, third … one is named."""

SHARES = (0, 0.01, 0.05, 0.1, 0.2, 0.5, 1)
"""Ticks of the colour bar."""


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the flushed share of gradients by layer and step, pale where nothing is flushed.

    The colour scale is the same in every panel. It is a power law, so that small shares are visible beside large ones.

    Args:
        results: of one subject, batch size and recipe.
        ax: drawn into, and returned.

    Raises:
        ValueError: several recipes; one heat map shows one.
    """
    import seaborn
    from matplotlib.colors import PowerNorm

    shares = flushed(results)
    if shares["cell_id"].empty:
        return bars.say(ax, layer_samples.NOTHING)
    if shares["recipe"].nunique() > 1:
        raise ValueError("a heat map is drawn for one recipe: use results.where(recipe=...)")
    layers = shares.drop_duplicates("layer").sort_values("depth")["layer"].astype(str)
    grid = shares.astype({"layer": str}).pivot_table(index="layer", columns="step", values="value").reindex(layers)
    every = -(-len(grid) // MOST_NAMED)
    seaborn.heatmap(
        grid,
        ax=ax,
        norm=PowerNorm(0.4, vmin=0, vmax=1),
        cmap="rocket_r",
        yticklabels=every,
        cbar_kws={
            "label": "gradient entries flushed to zero",
            "ticks": SHARES,
            "format": lambda share, _: f"{100 * share:.0f} %",
        },
    )
    ax.set_xlabel(results.label("step"))
    ax.set_ylabel("")
    ax.tick_params(axis="y", rotation=0, labelsize=8)
    ax.tick_params(axis="x", rotation=0, labelsize=8)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    shares = flushed(results)
    if shares["cell_id"].empty:
        return layer_samples.NOTHING_IN_WORDS
    by_layer = shares.groupby("layer", observed=True)["value"].max()
    worst = by_layer.idxmax()
    return f"at most {100 * by_layer[worst]:.1f} % of a layer's gradient flushed to zero ({worst})"


FIGURE = Figure(
    name="underflow",
    title="Underflow",
    caption=(
        "Colour: share of the layer's nonzero gradient entries in strict fp32 that round to zero in the recipe's "
        "compute dtype at the loss scale of that step; mean over seeds. Rows: layers, from the input down. Columns: "
        "samples of the numerics probe."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    by_recipe=True,
    shown=layer_samples.taken,
)
