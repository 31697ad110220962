"""Where gradients underflow: by layer and step, the share of gradient entries that a format flushes to zero."""

from __future__ import annotations

from ampbench.visualize.figures.shared import layer_map
from ampbench.visualize.read.layers import flushed

FIGURE = layer_map.figure(
    flushed,
    name="underflow",
    title="Underflow",
    what="gradient flushed to zero",
    caption=(
        "Colour: share of the layer's nonzero gradient entries in strict fp32 that round to zero in the recipe's "
        "compute dtype at the loss scale of that step; mean over seeds. Rows: layers, from the input down. Columns: "
        "samples of the numerics probe. Recipes without any are not shown."
    ),
)
