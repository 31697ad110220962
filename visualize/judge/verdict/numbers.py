"""The rung `numbers`: what the samples of the numerics probe say of a recipe's gradients and of its updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ampbench.schema.diagnosis.training import UNMOVED
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import flushed, last_samples, unmoved

FLUSHED = 0.05
"""A layer underflows if at least this share of its gradient is flushed to zero in one of the samples: Micikevicius et
al., 2018, "Mixed Precision Training", section 3.1, name about 5 % that adversely affect the accuracy of a speech
model."""
LOST = 0.5
"""Share of a layer's gradient from which the recipe is spoken against: the layer is trained with less than half of it.
A limit of ours; between the two, only a training tells."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """The samples of one recipe's layers."""

    flushed_share: float
    """Of the gradient of the layer that loses most, in its worst sample."""
    layer: str
    """Which layer that is."""
    unmoved_share: float | None
    """Of all weights with a gradient, those that the step of the last sample leaves unchanged; None if unknown."""

    @property
    def says(self) -> Literal["for", "against", "open"]:
        """Whether the numbers speak for the recipe."""
        if self.flushed_share >= LOST or (self.unmoved_share or 0.0) >= UNMOVED:
            return "against"
        return "open" if self.flushed_share >= FLUSHED else "for"

    def __str__(self) -> str:
        if self.flushed_share >= FLUSHED:
            return f"{self.layer} loses {100 * self.flushed_share:.0f} % of its gradient to underflow"
        if self.unmoved_share is not None and self.unmoved_share >= UNMOVED:
            return f"rounding leaves {100 * self.unmoved_share:.0f} % of the weights unchanged in a step"
        return "no layer loses gradients"


def numbers_of(results: Results) -> dict[tuple[str, int, str], Numbers]:
    """Return (subject, batch size, recipe) -> what the samples of its layers say; nothing without a sample."""
    if results.layers.empty:
        return {}
    keys = ["subject", "batch_size", "recipe"]
    shares = flushed(results)
    worst = shares.groupby([*keys, "layer"], observed=True)["value"].max()
    still = _unmoved(results)
    found = {}
    for key, own in worst.groupby(keys, observed=True):
        subject, batch_size, recipe = key
        layer = own.idxmax()[-1]
        place = (str(subject), int(batch_size), str(recipe))
        found[place] = Numbers(flushed_share=float(own.max()), layer=str(layer), unmoved_share=still.get(place))
    return found


def _unmoved(results: Results) -> dict[tuple[str, int, str], float]:
    """Return the share of weights that the step of the last sample leaves unchanged, mean over the cells.

    With stochastic rounding a weight changes rarely and by more than its update: one step does not show the mean.
    """
    shares = unmoved(results)
    cells = results.cells
    random = cells.loc[cells["update"] == "stochastic", "cell_id"] if "update" in cells else pd.Series(dtype=str)
    shares = shares[~shares["cell_id"].astype(str).isin(random)]
    if shares.empty:
        return {}
    last = last_samples(shares)
    where = cells.set_index("cell_id")[["subject", "batch_size"]]
    last = last.assign(
        subject=last["cell_id"].astype(str).map(where["subject"]),
        batch_size=last["cell_id"].astype(str).map(where["batch_size"]),
    )
    means = last.groupby(["subject", "batch_size", "recipe"], observed=True)["share"].mean()
    return {(str(subject), int(size), str(recipe)): float(share) for (subject, size, recipe), share in means.items()}
