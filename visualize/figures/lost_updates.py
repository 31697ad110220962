"""Weights that no longer change, because their own format rounds the updates away."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, curves, layer_samples
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import last_samples, unmoved


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the share of unmoved weights over the epochs, or over the steps of a timing.

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
    in_epochs = not shares.duplicated(["cell_id", "epoch"]).any()
    points = shares.rename(columns={"epoch" if in_epochs else "step": "x", "share": "y"})
    curves.draw_curves(ax, points, theme.styles_of(results))
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_xlabel("epochs finished" if in_epochs else "steps taken")
    ax.set_ylabel("unmoved weights")
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    shares = unmoved(results)
    if shares.empty:
        return layer_samples.NOTHING_IN_WORDS
    last = last_samples(shares).groupby("recipe", observed=True)["share"].mean()
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
