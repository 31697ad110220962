"""What the numerics probe found, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import given

QUANTITIES = {
    "num_entries": "of the tensor",
    "loss_scale_factor": "of this sample; 1 without a scaler",
    "flushed_share": "of the nonzero entries in strict fp32, those that round to 0 in the compute dtype at this scale",
    "died_share": "of the same, those that are 0 in the recipe's own gradient",
    "near_overflow_share": "of all entries, those within 2 doublings of the largest finite number",
    "headroom_bits": "doublings of the loss scale until the largest entry overflows",
    "norm": "Euclidean, in strict fp32",
    "distance": "of the recipe's gradient from strict fp32, over the norm of the latter",
    "lost_update_share": "of 16-bit weights with a gradient, those with |learning rate * gradient| < ulp / 2",
    "unmoved_share": "of what the optimizer updates, with a gradient: left where it was by a step that was not skipped",
}
"""What layers.parquet may hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerRow:
    """A quantity of a tensor of a layer."""

    step: int = given("", "step", "Steps taken before the sample")
    epoch: int = given("", "epoch", "Epochs finished before the sample")
    depth: int = given("", "depth", "Place of the layer in the model, from 0")
    layer: str = given("", "layer", "Name of the module")
    tensor: str = given(
        "",
        "tensor",
        "gradient (of the layer's weights), activation (its output), activation gradient (that reaches its output)",
    )
    quantity: str = given(
        "",
        "quantity",
        f"One of: {'; '.join(f'{name}: {meaning}' for name, meaning in QUANTITIES.items())}",
    )
    value: float = given("", "value", "Of the quantity; a quantity that does not exist here has no row")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentRow:
    """The entries of a tensor of a layer with one exponent."""

    step: int = given("", "step", "Steps taken before the sample")
    epoch: int = given("", "epoch", "Epochs finished before the sample")
    depth: int = given("", "depth", "Place of the layer in the model, from 0")
    layer: str = given("", "layer", "Name of the module")
    tensor: str = given("", "tensor", "As in layers")
    exponent: int = given("", "exponent", "e of the entries with 2^e <= |x| < 2^(e+1), in strict fp32")
    count: int = given("", "entries", "With this exponent")
