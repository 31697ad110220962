"""The network of a training in strict fp32, for the gradient without the recipe's rounding."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from ampbench.bench.train.precision.fp8 import without_fp8_products
from ampbench.bench.train.precision.islands import flood_islands
from ampbench.bench.train.precision.precision import cast_real
from ampbench.bench.train.training import Training


def strict_fp32(training: Training) -> tuple[nn.Module, Mapping[str, nn.Parameter]]:
    """Return the network in fp32, and by name the parameters that have the gradients after a backward pass.

    The network itself is cast, because a network that holds a lock or a tensor of its last step cannot be copied; the
    caller has a savepoint to roll back to. Ranks cast a copy: DistributedDataParallel's hooks do not survive a change
    of the weights' dtype.
    """
    alone = training.ranks.world_size == 1
    model = without_fp8_products(training.model if alone else copy.deepcopy(training.model))
    cast_real(model, torch.float32)
    flood_islands(model)
    _cast_plain_tensors(model)
    return model, training.updated if alone else dict(model.named_parameters())


def _cast_plain_tensors(model: nn.Module) -> None:
    """Cast to fp32 also what a model keeps in 16 bit without registering it: a hidden state of its last step."""
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if name not in ("_parameters", "_buffers", "_modules"):
                cast = tree_map_only(Tensor, _in_fp32, value)
                if any(a is not b for a, b in zip(tree_leaves(cast), tree_leaves(value), strict=True)):
                    vars(module)[name] = cast


def _in_fp32(x: Tensor) -> Tensor:
    loose = x.is_floating_point() and x.dtype != torch.float32 and not isinstance(x, nn.Parameter)
    return x.detach().float() if loose else x
