"""The layers that a recipe keeps in fp32, watched through a step: whether they ran, and in which dtypes.

The dtype of a layer's output does not tell: with 16-bit weights around it, it goes out in 16 bit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import nn


class KeptLayers:
    """What is seen of the layers that are kept, with all inside them; see `bench/train/precision/islands.py`."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self.layers = layers
        self.operators: Counter[tuple[str, str]] = Counter()
        """(operator, dtype of its inputs) -> calls, in their forward passes."""
        self.run: set[str] = set()
        """Those whose forward pass ran."""
        self.bypassed: set[str] = set()
        """Layers inside them that multiply and ran outside of their forward passes."""
        self.depth = 0
        """Of kept layers in whose forward pass this is."""

    def watch(self, model: nn.Module, multiplying: tuple[type[nn.Module], ...]) -> list[Any]:
        """Hook them; return the handles of the hooks."""
        handles: list[Any] = []
        for name, layer in self.layers.items():
            handles.append(layer.register_forward_pre_hook(self._enter(name)))
            handles.append(layer.register_forward_hook(self._leave, always_call=True))
        inside = self.inside
        for name, layer in model.named_modules():
            if id(layer) in inside and isinstance(layer, multiplying):
                handles.append(layer.register_forward_pre_hook(self._see(name)))
        return handles

    @property
    def inside(self) -> set[int]:
        """Identities of the layers that are kept, and of all inside them."""
        return {id(layer) for top in self.layers.values() for layer in top.modules()}

    @property
    def words(self) -> list[str]:
        """What was seen, as in `kept:float32x3 kept_layers:2/2`: products by dtype, and how many of the layers ran."""
        if not self.layers:
            return []
        by_dtype: Counter[str] = Counter()
        for (_, dtype), calls in self.operators.items():
            by_dtype[dtype] += calls
        seen = [f"kept:{dtype}x{n}" for dtype, n in sorted(by_dtype.items())]
        return [*seen, f"kept_layers:{len(self.run)}/{len(self.layers)}"]

    def contradict(self, allowed: set[str]) -> str | None:
        """Return in words how they contradict a recipe that keeps them in fp32, or None.

        Args:
            allowed: dtypes of products, fp32 and what only the model itself may have chosen.
        """
        if wrong := sorted({dtype for _, dtype in self.operators} - allowed):
            return f"matrix products or convolutions ran in {', '.join(wrong)} in layers that the recipe keeps in fp32"
        if self.bypassed:
            name = min(self.bypassed)
            return (
                f"{name} is kept in fp32 with what is around it, but the network calls it alone: keep {name!r} itself"
            )
        if self.layers and not self.run:
            return (
                f"no layer that the recipe keeps in fp32 ran ({', '.join(list(self.layers)[:3])}): the network reads "
                "their weights and does not call them, so keep the layer around them"
            )
        return None

    def _enter(self, name: str) -> Any:
        def enter(_layer: nn.Module, _inputs: Any) -> None:
            self.depth += 1
            self.run.add(name)

        return enter

    def _leave(self, _layer: nn.Module, _inputs: Any, _output: Any) -> None:
        self.depth -= 1

    def _see(self, name: str) -> Any:
        def see(_layer: nn.Module, _inputs: Any) -> None:
            if not self.depth:
                self.bypassed.add(name)

        return see
