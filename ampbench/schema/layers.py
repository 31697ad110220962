"""What the numerics probe found, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import given

QUANTITIES = {
    "num_entries": "entries of the tensor",
    "loss_scale_factor": "loss scale of this sample; 1 without a scaler",
    "flushed_share": "of the entries not 0 in strict fp32, the share that is 0 in the compute dtype at this loss scale",
    "died_share": "of the entries not 0 in strict fp32, the share that is 0 in the recipe's own gradient",
    "near_overflow_share": "of all entries, the share within 2 doublings of the largest finite number",
    "headroom_bits": "doublings of the loss scale until the largest entry overflows",
    "norm": "Euclidean norm, in strict fp32",
    "distance": "norm of the difference of the recipe's gradient from that in strict fp32, over the norm of the latter",
    "lost_update_share": "of the 16-bit weights with a gradient, the share with |learning rate * gradient| < ulp / 2",
    "unmoved_share": "of the numbers that are updated and have a gradient, the share that a step did not change; "
    "no row where the step was skipped",
}
"""Quantity in layers.parquet -> its meaning."""


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
    value: float = given("", "value", "Value of the quantity; a quantity that a tensor does not have has no row")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentRow:
    """The entries of a tensor of a layer with one exponent."""

    step: int = given("", "step", "Steps taken before the sample")
    epoch: int = given("", "epoch", "Epochs finished before the sample")
    depth: int = given("", "depth", "Place of the layer in the model, from 0")
    layer: str = given("", "layer", "Name of the module")
    tensor: str = given("", "tensor", "As in layers")
    exponent: int = given("", "exponent", "e of the entries with 2^e <= |x| < 2^(e+1), in strict fp32")
    count: int = given("", "entries", "Number of entries with this exponent")
