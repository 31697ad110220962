"""Models that live elsewhere: torchvision, timm, or a factory of one's own.

A factory is a callable in a module on the path, called without arguments. What it returns says, as
attributes, what it takes and gives, and may bring its loss:

    class MyNet(nn.Module):
        input_shape = (3, 32, 32)                              # C, H, W
        num_classes = 10
        def loss(self, logits_NK, y_N): ...                    # optional; else cross-entropy

The logits reach the loss in fp32 in every recipe.
"""

from __future__ import annotations

import importlib

from torch import nn


def build(name: str, num_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """Build `torchvision:NAME`, `timm:NAME` or `package.module:factory`.

    Raises:
        ValueError: no such factory, or a model of one that does not say its shapes or says other ones.
        ImportError: the package is not installed.
    """
    source, _, what = name.partition(":")
    if source == "torchvision":
        torchvision = importlib.import_module("torchvision.models")
        return torchvision.get_model(what, weights=None, num_classes=num_classes)
    if source == "timm":
        try:
            timm = importlib.import_module("timm")
        except ImportError as e:
            raise ImportError(f"{name!r} needs the package timm; pip install timm") from e
        return timm.create_model(what, pretrained=False, num_classes=num_classes)
    factory = getattr(importlib.import_module(source), what, None)
    if not callable(factory):
        raise ValueError(
            f"{name!r}: module {source!r} has no callable {what!r}; name a factory that takes no arguments"
        )
    model = factory()
    if not isinstance(model, nn.Module):
        raise ValueError(f"{name!r} returned {type(model).__name__}; a factory returns a torch.nn.Module")
    for attribute, wanted, field in (
        ("input_shape", tuple(input_shape), "image_size"),
        ("num_classes", num_classes, "data"),
    ):
        said = getattr(model, attribute, None)
        if said is None:
            raise ValueError(f"{name!r}: the model says no {attribute}; give it the attribute, here {wanted}")
        if (tuple(said) if isinstance(said, (tuple, list)) else said) != wanted:
            raise ValueError(f"{name!r}: the model says {attribute} = {said}, the data {wanted}; change {field}")
    return model
