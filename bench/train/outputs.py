"""What a model returns, and which part of it are the logits.

    a tensor                                    the logits (N, K) themselves
    an object or a mapping that has `logits`    those: Hugging Face's ModelOutput, torchvision's GoogLeNetOutputs
    any other tuple or list                     its first element; heads that only help to train come after it

A loss that the model brings gets all of it, as it is, so it can use auxiliary heads. What is no logits (N, K) is
turned into classes by the model itself: `classes_of(outputs) -> (N,)`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

DOCUMENTED = "models/external.py"
"""Where a model's author reads what it has to return."""


def logits_of(output: Any) -> Tensor:
    """Return the logits in what a model returned.

    Raises:
        ValueError: it holds none by these rules; the message says what it is and what would be taken.
    """
    found = output
    while not isinstance(found, Tensor):
        if isinstance(found, Mapping) and "logits" in found:
            found = found["logits"]
        elif getattr(found, "logits", None) is not None:
            found = found.logits
        elif isinstance(found, tuple | list) and found:
            found = found[0]
        else:
            raise ValueError(
                f"the model returns {described(output)}, and no logits are found in it: return a tensor (N, K), a "
                "tuple whose first element it is, or a field `logits`; or bring a `loss` that takes it as it is, and "
                f"`classes_of` ({DOCUMENTED})"
            )
    return found


def in_fp32(output: Any) -> Any:
    """Return what a model returned with its real floating tensors in fp32, in tuples, lists, mappings, dataclasses."""
    return mapped(lambda x: x.float() if x.is_floating_point() else x, output)


def mapped(change: Callable[[Tensor], Tensor], output: Any) -> Any:
    """Return what a model returned with every tensor changed; what is none of these containers stays as it is."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple | list):
        values = [mapped(change, value) for value in output]
        return output._make(values) if hasattr(output, "_make") else type(output)(values)  # type: ignore[union-attr]
    if isinstance(output, Mapping):
        taken: Any = copy.copy(output)
        for key, value in output.items():
            taken[key] = mapped(change, value)
        return taken
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        taken = copy.copy(output)
        for field in dataclasses.fields(output):
            object.__setattr__(taken, field.name, mapped(change, getattr(output, field.name)))
        return taken
    return output


def check_output(output: Any, y_N: Tensor, num_classes: int, *, is_read_by_model: bool) -> str | None:
    """Check what a model returned against the labels; return what was taken of it, or None of a plain tensor.

    Args:
        output: of the model.
        y_N: labels of the same images.
        num_classes: K.
        is_read_by_model: it brings both its loss and `classes_of`, so that any output will do.

    Raises:
        ValueError: nothing in it are logits (N, K), and the model does not say how it means it.
    """
    if is_read_by_model:
        return f"{described(output)}, read by its own loss and classes_of"
    logits, wanted = logits_of(output), (len(y_N), num_classes)
    if tuple(logits.shape) != wanted:
        move = "flatten them" if logits.squeeze().shape == wanted else f"give its last layer {num_classes} outputs"
        raise ValueError(
            f"the model returns logits of shape {tuple(logits.shape)}, and {wanted} is wanted, a row an image and a "
            f"column a class: {move}, or let the model bring both a loss and a "
            f"method classes_of(outputs) -> (N,) that reads a class from what it returns ({DOCUMENTED})"
        )
    if not logits.is_floating_point():
        raise ValueError(
            f"the model returns logits of {_short(logits.dtype)}, and real floating-point numbers are wanted: return "
            "what comes before argmax, or the absolute value of what is complex"
        )
    if torch.is_grad_enabled() and not logits.requires_grad:
        raise ValueError(
            "the model returns logits that no weight has a gradient from: let a weight that trains have a part in "
            "them, without detach() and no_grad()"
        )
    return None if isinstance(output, Tensor) else f"logits of {described(output)}"


def has_own_classes(model: nn.Module) -> bool:
    """Whether the model says itself which class it means."""
    return callable(getattr(model, "classes_of", None))


def predicted_classes(model: nn.Module, output: Any, num_images: int) -> Tensor:
    """Return the class of each image (N,), int64: as the model says by `classes_of`, else the largest logit.

    Raises:
        ValueError: `classes_of` returns something else.
    """
    if not has_own_classes(model):
        return logits_of(output).argmax(1)
    with torch.no_grad():
        classes: Any = model.classes_of(output)  # type: ignore[operator]
    whole = isinstance(classes, Tensor) and not (classes.is_floating_point() or classes.is_complex())
    if not whole or tuple(classes.shape) != (num_images,):
        raise ValueError(
            f"classes_of returns {described(classes)}, and whole numbers of shape ({num_images},) are wanted, the "
            f"class of each image ({DOCUMENTED})"
        )
    return classes.long()


def sliced(output: Any, of_N: slice, num_images: int) -> Any:
    """Return what a model returned for some of its images; tensors that have no row for each stay as they are."""
    return mapped(lambda x: x[of_N] if x.dim() and len(x) == num_images else x, output)


def joined(outputs: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Return what a model would have returned for several batches at once, of so many images each.

    Tensors that have no row for each image, as a penalty on the weights, stay those of the first batch.
    """
    rows = [tensors_of(output) for output in outputs]
    columns = iter(zip(*rows, strict=True))

    def join(x: Tensor) -> Tensor:
        batches = next(columns)
        return torch.cat(batches) if x.dim() and len(x) == sizes[0] else x

    return mapped(join, outputs[0])


def tensors_of(output: Any) -> list[Tensor]:
    """Return the tensors in what a model returned, in order."""
    found: list[Tensor] = []
    mapped(lambda x: found.append(x) or x, output)  # type: ignore[func-returns-value]
    return found


def described(output: Any) -> str:
    """Name an output's type and what is in it, as `tuple of Tensor (64, 10), Tensor (64, 128)`."""
    if isinstance(output, Tensor):
        return f"Tensor {tuple(output.shape)}"
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"{kind} with {', '.join(map(str, output))}"
    if isinstance(output, tuple | list):
        fields = getattr(output, "_fields", None)
        within = map(str, fields) if fields else [described(value) for value in output]
        return f"{kind} of {', '.join(within) or 'nothing'}"
    if dataclasses.is_dataclass(output):
        return f"{kind} with {', '.join(field.name for field in dataclasses.fields(output))}"
    return kind


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
