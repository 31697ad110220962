"""fp8 matrix products in Linear layers, through torchao's float8 training.

Both inputs of a product are rounded to 8 bits, weights and activations to E4M3 (3 fraction bits), gradients to E5M2
(2), each tensor with a scale of its own that puts its largest entry at the format's largest (Micikevicius et al., 2022,
"FP8 Formats for Deep Learning", sections 3 and 4). Weights, activations and updates keep their dtype.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from ampbench.bench.train.precision.islands import layers_on_islands
from ampbench.bench.train.statuses import Unsupported

TILE = 16
"""Both sizes of a weight must be a multiple of this; the batch is padded to one (cuBLASLt, `torch._scaled_mm`)."""


def with_fp8_products(model: nn.Module, *, emulate: bool = False) -> nn.Module:
    """Return the model with fp8 matrix products in each Linear layer that allows them; its weights stay the same.

    A classifier of 10 classes is too narrow and keeps its dtype, as large trainings keep theirs. So does a subclass of
    `nn.Linear`: torch's attention reads the weight of one and never calls it.

    Args:
        model: changed in place, unless it is a Linear layer itself.
        emulate: multiply the rounded numbers in fp32, on any device: the same numbers, without the speed.

    Raises:
        Unsupported: torchao is missing, or no layer fits.
    """
    kept = layers_on_islands(model)
    if not any(_fits(layer) for name, layer in model.named_modules() if name not in kept):
        raise Unsupported(
            f"the model has no Linear layer whose sizes are both multiples of {TILE}, so nothing would run in fp8"
        )
    try:
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training
    except ImportError as e:
        raise Unsupported(f"fp8 matrix products come from torchao: pip install torchao ({e})") from e

    def fits(layer: nn.Module, name: str) -> bool:
        return name not in kept and _fits(layer)

    config = Float8LinearConfig(emulate=emulate, pad_inner_dim=True)
    return convert_to_float8_training(model, module_filter_fn=fits, config=config)


def without_fp8_products(model: nn.Module) -> nn.Module:
    """Let the layers of a model with fp8 matrix products compute in their own dtype again, in place."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and type(layer).__module__.startswith("torchao."):
            layer.forward = partial(nn.Linear.forward, layer)  # type: ignore[method-assign]
    return model


def _fits(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear and layer.in_features % TILE == 0 == layer.out_features % TILE
