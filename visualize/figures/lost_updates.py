"""Weights that no longer change, because their own format rounds the updates away."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ampbench.visualize.figures import bars, curves, layer_samples, theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import unmoved


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the share of unmoved weights over the epochs.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.

    Raises:
        ValueError: several subjects or batch sizes.
    """
    curves.one_of_each(results)
    shares = unmoved(results)
    if shares.empty:
        return bars.say(ax, layer_samples.NOTHING)
    points = shares.rename(columns={"epoch": "x", "share": "y"})
    curves.draw_curves(ax, points, theme.styles_of(results))
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("epochs finished")
    ax.set_ylabel("unmoved weights")
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    shares = unmoved(results)
    if shares.empty:
        return layer_samples.NOTHING_IN_WORDS
    last = shares[shares["epoch"] == shares["epoch"].max()].groupby("recipe", observed=True)["share"].mean()
    return "unmoved weights at the last sample: " + ", ".join(f"{r} {100 * share:.0f} %" for r, share in last.items())


FIGURE = Figure(
    name="lost_updates",
    title="Lost updates",
    caption=(
        "Line: share of the weights with a nonzero gradient that a step left unchanged (of their fp32 copies, where "
        "the optimizer updates these); layers weighted by their size, mean over seeds. Band: from the lowest to the "
        "highest seed. An fp32 copy or Kahan summation keeps the share low. Pure bf16 has 8 significant bits and loses "
        "most updates late in a training. With stochastic rounding a weight changes rarely and by more than its "
        "update, so that only its mean is right."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shown=layer_samples.taken,
)
