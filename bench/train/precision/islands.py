"""Layers that stay in fp32 where a recipe computes the rest in 16 bit: `keep_fp32` of a recipe.

With `keep_fp32 = ["BatchNorm2d"]`, fp32 copies of the weights and a dynamic loss scale, this is what apex called O2.

A kept layer is an island with all that is inside it. Its weights and buffers are fp32, the optimizer updates them as
they are, and its forward pass runs without autocast: what comes in is cast to fp32, and backward runs as forward did.
What goes out is

    under autocast            fp32: autocast casts it where a matrix product needs it, and an output beyond 65,504
                              reaches the norm behind it
    with 16-bit weights       in the dtype that came in, since the layers behind it multiply by weights of that dtype

The class of a layer is replaced by a subclass of the same name, which copies, hooks, the compiler and
DistributedDataParallel see as any other.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.train.outputs import mapped, tensors_of

MOST_NAMED = 12
"""Layers that an error lists."""
BORDER = "_dtype_outside"
"""Attribute of an island: the dtype around it where no input shows one; None for fp32."""


NARROW = (torch.float16, torch.bfloat16)
"""What is cast to fp32 on the way in."""


class Island:
    """What tells a kept layer from others: it is an instance of this class too."""

    __slots__ = ()


def layers_to_keep(model: nn.Module, patterns: Iterable[str]) -> dict[str, nn.Module]:
    """Return the layers that patterns name, by name, in the model's order.

    A pattern is the name of a class or of one that it is derived from, or a pattern of names as in a shell: of layers,
    or of the weights that a layer holds itself, so that `head.*` is both a layer `head` and the layers inside it.

    Raises:
        ValueError: a pattern matches no layer.
    """
    layers, found = dict(model.named_modules()), set()
    for pattern in patterns:
        own = {name for name, layer in layers.items() if _is_meant(name, layer, pattern)}
        if not own:
            raise ValueError(f"keep_fp32: {pattern!r} matches no layer of the network. {_move(layers, pattern)}")
        found |= own
    return {name: layer for name, layer in layers.items() if name in found}


def make_islands(model: nn.Module, patterns: Iterable[str], outside: torch.dtype) -> nn.Module:
    """Keep the layers that patterns name in fp32, in place; their weights are not cast here. Return the model.

    Args:
        model: whose layers they are; an island stays one.
        patterns: as for `layers_to_keep`.
        outside: dtype of the weights of the other layers.

    Raises:
        ValueError: a pattern matches no layer, or a layer cannot be kept.
    """
    kept = layers_to_keep(model, patterns)
    inside = {id(layer) for name, top in kept.items() for layer in top.modules() if layer is not top}
    for name, layer in kept.items():
        _make_island(name, layer, None if id(layer) in inside or outside == torch.float32 else outside)
    return model


def islands_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the kept layers of a model, by name; layers inside them are not listed unless they are kept by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Island)}


def layers_on_islands(model: nn.Module) -> dict[str, nn.Module]:
    """Return the kept layers and all layers inside them, by name."""
    return {
        ".".join(filter(None, (name, below))): layer
        for name, top in islands_of(model).items()
        for below, layer in top.named_modules()
    }


def tensors_on_islands(model: nn.Module) -> set[int]:
    """Return the identities of the weights and buffers that stay in fp32."""
    return {
        id(x) for layer in islands_of(model).values() for x in (*layer.parameters(), *layer.buffers()) if x is not None
    }


def restore_islands(model: nn.Module, names: Mapping[str, nn.Module]) -> nn.Module:
    """Make islands again of layers that were replaced by others, as `convert_sync_batchnorm` does."""
    for name, layer in names.items():
        now = model.get_submodule(name)
        if not isinstance(now, Island):
            _make_island(name, now, getattr(layer, BORDER))
    return model


def flood_islands(model: nn.Module) -> None:
    """Tell the islands that all around them is fp32 now."""
    for layer in islands_of(model).values():
        setattr(layer, BORDER, None)


def _make_island(name: str, layer: nn.Module, outside: torch.dtype | None) -> None:
    own = type(layer)
    if isinstance(layer, Island):
        setattr(layer, BORDER, outside)
        return
    if isinstance(layer, torch.jit.ScriptModule) or "forward" in vars(layer):
        why = (
            "is scripted" if isinstance(layer, torch.jit.ScriptModule) else "has a forward of its own, as an attribute"
        )
        raise ValueError(f"keep_fp32: the layer {name!r} {why}, and cannot be kept in fp32; keep the layer around it")

    def forward(self: Any, *inputs: Any, **named: Any) -> Any:
        tensors = [x for x in tensors_of((*inputs, *named.values())) if x.is_floating_point()]
        device = tensors[0].device if tensors else next((p.device for p in self.parameters()), torch.device("cpu"))
        inputs, named = mapped(_widened, inputs), {key: mapped(_widened, x) for key, x in named.items()}
        if torch.is_autocast_enabled(device.type):
            with torch.autocast(device.type, enabled=False):
                return own.forward(self, *inputs, **named)
        around = tensors[0].dtype if tensors else getattr(self, BORDER)
        output = own.forward(self, *inputs, **named)
        return mapped(lambda x: _narrowed(x, around), output) if around in NARROW else output

    methods = {"forward": forward, "__module__": __name__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    layer.__class__ = types.new_class(own.__name__, (own, Island), {}, lambda namespace: namespace.update(methods))
    setattr(layer, BORDER, outside)


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in NARROW else x


def _narrowed(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if x.dtype == torch.float32 else x


def _is_meant(name: str, layer: nn.Module, pattern: str) -> bool:
    if any(kind.__name__ == pattern for kind in type(layer).__mro__ if kind not in (nn.Module, object, Island)):
        return True
    weights = (entry[0] for entry in (*layer._parameters.items(), *layer._buffers.items()))
    return bool(name) and (fnmatchcase(name, pattern) or any(fnmatchcase(f"{name}.{key}", pattern) for key in weights))


def _move(layers: Mapping[str, nn.Module], pattern: str) -> str:
    """Return the next move for a pattern that matches nothing: its near miss, else what there is."""
    kinds = dict.fromkeys(type(layer).__name__ for name, layer in layers.items() if name)
    names = [name for name, layer in layers.items() if name and any(True for _ in layer.parameters())]
    near = difflib.get_close_matches(pattern, [*kinds, *names], n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"Classes: {', '.join(kinds)}; names: {', '.join(names[:MOST_NAMED])}{more}."
