"""Models from outside this package: torchvision, timm, or a user's own factory.

A factory is a callable in an importable module. It is called with the `model_args` of the experiment file as keyword
arguments. The module that it returns has the attributes `input_shape` and `num_classes`, and may define its own loss:

    class MyNet(nn.Module):
        input_shape = (3, 32, 32)                              # C, H, W
        num_classes = 10
        def loss(self, outputs, y_N): ...                      # optional, a scalar; default cross-entropy
        def classes_of(self, outputs): ...                     # optional with a loss: classes (N,); default argmax

`forward` returns logits (N, K), or a tuple or list that begins with them, or an object or mapping that has them as
`logits`. Its own `loss` gets everything that `forward` returned, auxiliary heads included; real floating-point tensors
are converted to fp32 in every recipe. Cross-entropy gets only the logits. Outputs that are not logits (N, K), such as
one number for two classes, need both `loss` and `classes_of`:

        def loss(self, outputs_N1, y_N): return F.binary_cross_entropy_with_logits(outputs_N1[:, 0], y_N.float())
        def classes_of(self, outputs_N1): return outputs_N1[:, 0] > 0

If something does not fit, the cell ends before the first update with a message of one line. A loss should be a mean or
a sum over the images. Another loss, for example one weighted by class, cannot be accumulated over parts of a batch.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from ampbench.models.arguments import OURS, near


def build(name: str, num_classes: int, input_shape: tuple[int, int, int], /, **arguments: Any) -> nn.Module:
    """Build `torchvision:NAME`, `timm:NAME` or `package.module:factory`, with the arguments of an experiment file.

    Raises:
        ValueError: there is no such factory, it does not take these arguments, or its model has no or other
            `input_shape` or `num_classes`.
        ImportError: the package is not installed.
    """
    source, _, what = name.partition(":")
    if source == "torchvision":
        torchvision = importlib.import_module("torchvision.models")
        make = partial(torchvision.get_model_builder(what), weights=None, num_classes=num_classes)
        return called(make, name, arguments)
    if source == "timm":
        try:
            timm = importlib.import_module("timm")
        except ImportError as e:
            raise ImportError(f"{name!r} needs the package timm; pip install timm") from e
        return called(partial(timm.create_model, what, pretrained=False, num_classes=num_classes), name, arguments)
    factory = getattr(importlib.import_module(source), what, None)
    if isinstance(factory, nn.Module):
        raise ValueError(f"{name!r} is a network; name its class, or a function that returns it")
    if not callable(factory):
        raise ValueError(
            f"{name!r}: module {source!r} has no callable {what!r}; name a factory that needs no arguments"
        )
    model = called(factory, name, arguments)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{name!r} returned {type(model).__name__}; a factory returns a torch.nn.Module")
    for attribute, wanted, move in (
        ("input_shape", tuple(input_shape), "change image_size"),
        (
            "num_classes",
            num_classes,
            f"build it for {num_classes} (model_args, if its factory takes it), or change data",
        ),
    ):
        said = getattr(model, attribute, None)
        if said is None:
            raise ValueError(f"{name!r}: the model has no {attribute}; give it the attribute, here {wanted}")
        if (tuple(said) if isinstance(said, (tuple, list)) else said) != wanted:
            raise ValueError(f"{name!r}: the model has {attribute} = {said}, the data {wanted}; {move}")
    return model


def called(factory: Callable[..., Any], name: str, arguments: Mapping[str, Any]) -> Any:
    """Call a factory after checking that it takes the arguments.

    Raises:
        ValueError: it does not take them, or needs others too.
    """
    known, takes_any = arguments_of(factory)
    for argument in arguments:
        if argument not in known and not takes_any:
            raise ValueError(f"{name!r} takes no {argument!r} (model_args). {near(argument, known)}")
    missing = [needed for needed in needed_by(factory) if needed not in arguments]
    if missing:
        words = ", ".join(f"{needed} = …" for needed in missing)
        raise ValueError(f"{name!r} needs {', '.join(missing)}: write model_args = {{{words}}}, or give it a default")
    return factory(**arguments)


def needed_by(factory: Callable[..., Any]) -> list[str]:
    """Return the required arguments of a factory; none if its signature cannot be read."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # of a builtin
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.kind in kinds and p.default is p.empty]


def arguments_of(factory: Callable[..., Any]) -> tuple[list[str], bool]:
    """Return the argument names of a factory, and whether it takes any other name too.

    torchvision's functions pass unknown arguments on to the class in their return annotation.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # of a builtin
        return [], True
    made = getattr(factory, "func", factory)
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    known = [word for word in known if word not in (*OURS, "progress")]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    returned = getattr(made, "__annotations__", {}).get("return")
    if takes_any and inspect.isclass(returned) and returned is not factory and returned is not nn.Module:
        more, takes_any = arguments_of(returned)
        known += more
    return known, takes_any
