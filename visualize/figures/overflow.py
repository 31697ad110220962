"""Where numbers nearly overflow: by layer and step, the share of entries close to the largest number of the format."""

from __future__ import annotations

from ampbench.visualize.figures.shared import layer_map
from ampbench.visualize.read.layers import near_overflow

FIGURE = layer_map.figure(
    near_overflow,
    name="overflow",
    title="Overflow",
    what="entries near overflow",
    caption=(
        "Colour: share of the entries within 2 doublings of the largest finite number of the recipe's compute dtype at "
        "the loss scale of that step; of the layer's output, its gradient and that of its weights the one with the "
        "most; mean over seeds. Rows and columns as for underflow. Recipes without any are not shown."
    ),
)
