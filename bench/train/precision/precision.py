"""What a recipe sets in torch: the TF32 switches, the dtype of the weights, autocast and the loss scaler.

Every recipe gets an autocast and a scaler; those it does not use are disabled and do nothing, so that the
training step has no branch on the recipe.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import Recipe
from ampbench.bench.train.precision.fp8 import with_fp8_products
from ampbench.bench.train.precision.islands import make_islands, tensors_on_islands
from ampbench.bench.train.precision.scaler import Scaler
from ampbench.bench.train.statuses import Unsupported

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """What a training step needs of a recipe."""

    weights: torch.dtype
    autocast: torch.autocast
    scaler: Scaler


def set_up_precision(cell: Cell, device: torch.device) -> Precision:
    """Set torch's global switches for this process and return the autocast and scaler of the cell.

    Raises:
        Unsupported: the device cannot do what the recipe asks.
    """
    recipe = cell.precision
    require_support(recipe, device)
    set_fp32_precision(tf32=recipe.tf32)
    matmul = torch.backends.cuda.matmul
    matmul.allow_fp16_reduced_precision_reduction = cell.reduced_precision_reductions
    matmul.allow_bf16_reduced_precision_reduction = cell.reduced_precision_reductions
    torch.backends.cudnn.benchmark = cell.cudnn_benchmark
    torch.backends.mkldnn.enabled = wants_onednn(cell)
    return Precision(
        weights=DTYPES[recipe.weights],
        autocast=torch.autocast(device.type, dtype=DTYPES[recipe.compute], enabled=recipe.autocast),
        scaler=Scaler(cell.scale, device),
    )


def wants_onednn(cell: Cell) -> bool:
    """Whether oneDNN is to compute a CPU's matrix products and convolutions; `auto` is where it is fast.

    For weight gradients in fp16 it has a kernel for AMX-FP16, and without that its slow reference loop (oneDNN,
    src/cpu/cpu_convolution_list.cpp, `backward_weights`); torch's own kernels add the images' gradients up in fp16.
    """
    if cell.onednn == "auto":
        return cell.precision.compute != "fp16" or torch.cpu._is_amx_fp16_supported()
    return cell.onednn == "on"


def set_fp32_precision(*, tf32: bool) -> None:
    """Switch TF32 on or off for matrix products, convolutions and RNNs alike.

    torch's own default is neither: convolutions run in TF32 and matrix products do not. These two flags are the
    one pair that works the same on torch 2.11 to 2.15; on 2.11 the newer global
    `torch.backends.fp32_precision = "ieee"` leaves convolutions in TF32, and mixing both makes getters raise.
    """
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def fp32_precision() -> dict[str, str]:
    """Read the effective precision of fp32 operators: `ieee`, `tf32`, or `none` where torch's default (IEEE) holds."""
    backends: dict[str, Any] = {
        "cuda.matmul": torch.backends.cuda.matmul,
        "cudnn.conv": torch.backends.cudnn.conv,
        "cudnn.rnn": torch.backends.cudnn.rnn,
        "mkldnn.matmul": torch.backends.mkldnn.matmul,
        "mkldnn.conv": torch.backends.mkldnn.conv,
    }
    return {name: str(backend.fp32_precision) for name, backend in backends.items()}


def require_support(recipe: Recipe, device: torch.device) -> None:
    """Raise Unsupported where the device would not run the recipe, or run it as something else in silence."""
    if recipe.tf32 and device.type == "cpu":
        raise Unsupported("TF32 is a mode of NVIDIA GPUs; a CPU has none")
    if recipe.fp8 and device.type == "cpu":
        raise Unsupported(
            "fp8 matrix products need an NVIDIA GPU of compute capability 8.9 (Ada, Hopper); a CPU has none"
        )
    if device.type != "cuda":
        return
    major, minor = torch.cuda.get_device_capability(device)
    if recipe.tf32 and major < 8:
        raise Unsupported(f"TF32 needs compute capability 8.0 (Ampere); this GPU has {major}.{minor}")
    if recipe.fp8 and (major, minor) < (8, 9):
        raise Unsupported(
            f"fp8 matrix products need compute capability 8.9 (Ada, Hopper); this GPU has {major}.{minor}"
        )
    if "bf16" in (recipe.weights, recipe.compute) and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise Unsupported(f"bf16 needs compute capability 8.0 (Ampere); this GPU has {major}.{minor}")


def cast_model(model: nn.Module, cell: Cell, device: torch.device) -> nn.Module:
    """Move a model to the device, its real weights and buffers to the recipe's dtype, 4-d ones to the cell's layout.

    Layers that the recipe keeps in fp32 become islands and stay fp32. Complex numbers stay as they are, for no recipe
    has a dtype for them. So do those of float64 beside others: a model that mixes the two does so on purpose. Weights
    of 1, 3 and 5 dimensions have no NHWC and keep their layout.

    Raises:
        Unsupported: the recipe says fp8 and the model has no layer for it, or torchao is missing; or it has no dtype
            for a weight.
        ValueError: the recipe keeps layers that the model does not have.
    """
    model.to(device)  # its own `to` may move more than its parameters, and return nothing
    kept = DTYPES[cell.precision.weights]
    _require_castable(model, cell)
    layout = torch.channels_last if cell.channels_last else torch.contiguous_format

    def laid_out(x: Tensor) -> Tensor:
        return x.to(memory_format=layout) if x.dim() == 4 and x.layout == torch.strided else x

    make_islands(model, cell.precision.keep_fp32, kept)
    cast_real(model, kept, tensors_on_islands(model))
    model._apply(laid_out)
    return with_fp8_products(model) if cell.precision.fp8 else model


def cast_real(model: nn.Module, dtype: torch.dtype, in_fp32: Set[int] = frozenset()) -> None:
    """Cast the real floating weights and buffers of a model, in place; float64 beside other dtypes is kept.

    So are a loss's weights of the classes, in `nn.CrossEntropyLoss(weight=...)`: it is computed in fp32.

    Args:
        model: whose weights they are.
        dtype: that they get.
        in_fp32: identities of those that become fp32 instead.
    """
    own = {x.dtype for x in (*model.parameters(), *model.buffers()) if x.is_floating_point()}
    wide = {torch.float64} if len(own) > 1 else set()
    of_losses = [(layer._buffers, dict(layer._buffers)) for loss in _losses(model) for layer in loss.modules()]

    def cast(x: Tensor) -> Tensor:
        if not x.is_floating_point() or x.dtype in wide:
            return x
        return x.to(torch.float32 if id(x) in in_fp32 else dtype)

    model._apply(cast)
    for buffers, as_built in of_losses:
        buffers.update(as_built)


def _losses(model: nn.Module) -> list[nn.Module]:
    """Return the layers of a model that are losses: what they are given is in fp32, so their buffers stay so too."""
    own = getattr(model, "loss", None)
    return [layer for layer in model.modules() if layer is own or isinstance(layer, _Loss)]


def _require_castable(model: nn.Module, cell: Cell) -> None:
    """Refuse weights that a recipe would have to train in another dtype than it says.

    Raises:
        Unsupported: complex weights under a recipe that keeps weights in 16 bit, or that scales the loss.
    """
    name = next((name for name, p in model.named_parameters() if p.is_complex() and p.requires_grad), None)
    if name is None:
        return
    if cell.precision.weights != "fp32":
        raise Unsupported(
            f"{cell.precision} keeps weights in {cell.precision.weights}, and the complex weight {name!r} has no such "
            "form; use a recipe that keeps them in fp32"
        )
    if cell.scale.mode != "none":
        raise Unsupported(
            f"{cell.precision} scales the loss, and torch's GradScaler cannot check the gradient of the complex weight "
            f"{name!r}; use a recipe without a loss scale"
        )
