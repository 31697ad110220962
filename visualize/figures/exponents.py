"""How large the gradients are, and which of them the recipe's format can hold."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from ampbench.visualize.figures import theme
from ampbench.visualize.figures.figure import Figure
from ampbench.visualize.figures.shared import bars, layer_samples
from ampbench.visualize.read.frame import Results

RANGES = {"fp16": (-26, -14, 15), "bf16": (-135, -126, 127), "fp32": (-151, -126, 127)}
"""Format -> the largest exponent that is flushed to zero (below half the smallest subnormal number), the exponent of
the smallest normal number, and the exponent of the largest number."""
LOW, HIGH = -46, 18
"""Ends of the x axis, the same in every panel; the bars at the ends also hold what lies beyond them."""
LEAST_NAMED = 8.0
"""A zone is named in the picture if it spans at least this many exponents there."""


def draw(results: Results, ax: Axes) -> Axes:
    """Draw the histogram of gradient exponents against the range of the recipe's format.

    Args:
        results: of one subject, batch size and recipe.
        ax: drawn into, and returned.
    """
    counts = gradients(results)
    if counts["cell_id"].empty:
        return bars.say(ax, layer_samples.NOTHING)
    style = theme.styles_of(results)[str(counts["recipe"].iloc[0])]
    samples = {"first sample": (int(counts["step"].min()), theme.MUTED)}
    samples["last sample, in the recipe's colour"] = (int(counts["step"].max()), style.colour)
    for label, (step, colour) in samples.items():
        own = counts[counts["step"] == step]
        shares = own.groupby(own["exponent"].clip(LOW, HIGH))["count"].sum() / own["count"].sum()
        ax.bar(shares.index, shares, width=0.9, color=colour, alpha=0.65, label=label)
    sampled = results.cells[results.cells["cell_id"].isin(counts["cell_id"].unique())]
    shift = math.log2(scale_of(results))
    flush, normal, largest = (edge - shift for edge in RANGES[str(sampled["compute_dtype"].iloc[0])])
    for word, low, high, colour in (
        ("flushed", flush - 200, flush + 0.5, "#bdbdbd"),
        ("subnormal", flush + 0.5, normal - 0.5, "#ececec"),
        ("overflow", largest + 0.5, largest + 200, "#bdbdbd"),
    ):
        ax.axvspan(low, high, color=colour, zorder=0)
        seen = max(low, LOW - 0.5), min(high, HIGH + 0.5)
        if seen[1] - seen[0] >= LEAST_NAMED:
            middle = sum(seen) / 2
            ax.text(middle, 0.97, word, transform=ax.get_xaxis_transform(), ha="center", va="top", fontsize=9)
    ax.set_xlim(LOW - 0.5, HIGH + 0.5)
    ax.set_xlabel(f"exponent e of a gradient entry (one bar: {LOW} and below)")
    ax.set_ylabel("share of nonzero entries")
    bars.legend(ax)
    return ax


def describe(results: Results) -> str:
    """Say in words what the figure shows."""
    counts = gradients(results)
    if counts["cell_id"].empty:
        return layer_samples.NOTHING_IN_WORDS
    last = counts[counts["step"] == counts["step"].max()].groupby("exponent")["count"].sum()
    middle = int((last.cumsum() >= last.sum() / 2).idxmax())
    smallest = last.index.min()
    return f"at the last sample half of the gradient entries are below 2^{middle + 1}, the smallest at 2^{smallest}"


def gradients(results: Results) -> pd.DataFrame:
    """Return the rows of `exponents` about gradients."""
    rows = results.exponents
    return rows[rows["tensor"] == "gradient"]


def scale_of(results: Results) -> float:
    """Return the loss scale at the last sample, the mean over seeds; 1 without a scaler."""
    scales = results.layers[results.layers["quantity"] == "loss_scale_factor"]
    return float(scales.loc[scales["step"] == scales["step"].max(), "value"].mean()) if len(scales) else 1.0


FIGURE = Figure(
    name="exponents",
    title="Exponents",
    caption=(
        "Bars: exponents of all gradient entries in strict fp32, at the first and the last sample of the numerics "
        "probe. White: what the recipe's format holds in full precision at the loss scale of the last sample. Light "
        "grey: subnormal, with fewer digits. Dark grey: flushed to zero on the left, infinite on the right. A loss "
        "scale of 2^k moves the white range k to the left."
    ),
    draw=draw,
    describe=describe,
    by_batch_size=True,
    by_recipe=True,
    shown=layer_samples.taken,
    shared="both",
    height_in=lambda _: 1.6,
)
