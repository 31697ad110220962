"""Weights that a network uses and does not register: layers in a plain list or dictionary, or made in forward.

Nothing trains, casts, counts or saves them, and torch says nothing of it.
"""

from __future__ import annotations

from collections import Counter

from torch import Tensor, nn


def unregistered_weights(loss: Tensor, model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that a loss depends on, want a gradient, and are not among the model's."""
    own = {id(weight) for weight in model.parameters()}
    found: dict[int, nn.Parameter] = {}
    nodes = [loss.grad_fn]
    seen = set(nodes)
    while nodes:
        node = nodes.pop()
        weight = getattr(node, "variable", None)  # of a node that accumulates the gradient of a leaf
        if isinstance(weight, nn.Parameter) and id(weight) not in own:
            found[id(weight)] = weight
        following = {following for following, _ in getattr(node, "next_functions", ())} - seen
        seen |= following
        nodes += following
    return list(found.values())


def said_of(weights: list[nn.Parameter], name: str) -> str | None:
    """Say it in a sentence without its full stop; None where there are none."""
    if not weights:
        return None
    shapes = Counter("x".join(map(str, weight.shape)) or "single number" for weight in weights)
    listed = ", ".join(
        f"{shape} ({count} times)" if count > 1 else shape for shape, count in sorted(shapes.items())[:4]
    )
    return (
        f"{name} uses weights that it does not register, of shape {listed}{', …' if len(shapes) > 4 else ''}: they are "
        "never trained, counted or saved; keep layers as attributes or in nn.ModuleList, and make them in __init__"
    )
