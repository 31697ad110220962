"""The loss scale by step: where it grew, where it was reduced, and which steps were skipped."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, curves
from ampbench.visualize.read.frame import Results


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the loss scale by step, as a power of two.

    Args:
        results: of one subject and batch size.
        ax: drawn into, and returned.

    Raises:
        ValueError: several subjects or batch sizes.
    """
    steps = _scaled(results)
    if steps.empty:
        return bars.say(ax, "No loss scale: no recipe here has one.")
    for recipe, style in theme.styles_of(results).items():
        own = steps[steps["recipe"] == recipe]
        for k, (_, seed) in enumerate(own.groupby("cell_id", observed=True)):
            exponent = np.log2(seed["loss_scale_factor"])
            ax.plot(
                seed["step"],
                exponent,
                color=style.colour,
                linestyle=style.linestyle,
                linewidth=1.6,
                drawstyle="steps-post",
                label=recipe if k == 0 else None,
            )
            skipped = seed["skipped"].astype(bool).to_numpy()
            ax.scatter(
                seed["step"][skipped], exponent[skipped], marker="x", s=28, color=style.colour, linewidth=1.2, zorder=3
            )
    ax.yaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda e, _: f"$2^{{{e:.0f}}}$"))
    curves.whole_numbers(ax.xaxis)
    ax.set_xlabel(results.label("step"))
    ax.set_ylabel(results.label("loss_scale_factor"))
    bars.legend(ax)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    steps = _scaled(results)
    parts = []
    for recipe, own in steps.groupby("recipe", observed=True):
        scale = own["loss_scale_factor"]
        parts.append(
            f"{recipe}: loss scale from {scale.min():g} to {scale.max():g}, {int(own['skipped'].sum())} of "
            f"{len(own)} steps skipped"
        )
    return "; ".join(parts)


def _scaled(results: Results) -> pd.DataFrame:
    curves.one_of_each(results)
    steps = results.steps
    return steps[steps["loss_scale_factor"].notna()]


FIGURE = Figure(
    name="loss_scale",
    title="Loss scale",
    caption=(
        "Line: the factor on the loss of each step, one line per seed. Cross: a step that overflowed and was skipped, "
        "so that its batch did not update the weights. Each halving of the scale doubles the size below which "
        "gradients underflow."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    shared="both",
    shown=lambda results: bool(results.ok["final_loss_scale"].notna().any()),
)
