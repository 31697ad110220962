"""All that a model holds, as a checkpoint may hold it: tensors, numbers and words.

`state_dict()` has weights and registered buffers. A model may hold more: buffers that no `state_dict` shows, or that
are there only after the first step, plain tensors, a count of its calls, a generator of its own. What appears late is
given to the fresh model of the process that goes on; what is neither data nor made of data, a function say, is what
that fresh model has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.bench.train.state.plain_data import Plain, Table, UnkeptError

STANDARD = vars(nn.Module()).keys()
"""What every module has; of it the registered tensors are kept by their names."""


def model_state(model: nn.Module) -> dict[str, Any]:
    """Return the state of a model; the tensors are the live ones.

    Raises:
        UnkeptError: an extra state of the model's own (`get_extra_state`) is not made of data.
    """
    table = Table(_registered(model))
    own = model.state_dict()
    return {
        "state_dict": {name: value for name, value in own.items() if isinstance(value, Tensor)},
        "versions": {path: dict(versions) for path, versions in getattr(own, "_metadata", {}).items()},
        "extra_states": {name: _plain(table, name, x) for name, x in own.items() if not isinstance(x, Tensor)},
        "buffers": {path: _buffers(module) for path, module in model.named_modules()},
        "attributes": {path: _attributes(module, table) for path, module in model.named_modules()},
        "tensors": table.tensors,
    }


@torch.no_grad()
def load_model_state(model: nn.Module, state: dict[str, Any]) -> None:
    """Give a model that was just built, or one that went on, the state of another time.

    Raises:
        ValueError: it has other layers, or weights of other shapes.
    """
    modules = dict(model.named_modules())
    for path, buffers in state["buffers"].items():
        if path in modules:
            _set_buffers(modules[path], buffers)
        elif any(x is not None for x, _ in buffers.values()):
            raise ValueError(f"the checkpoint is of another model than this one: this has no layer {path!r}")
    table = Table(_registered(model), state["tensors"])
    own: Any = OrderedDict(state["state_dict"])
    own |= {name: table.value(plain) for name, plain in state["extra_states"].items()}
    own._metadata = OrderedDict(state["versions"])
    try:
        model.load_state_dict(own)
    except (RuntimeError, ValueError, KeyError) as e:
        raise ValueError(f"the checkpoint is of another model than this one: {' '.join(str(e).split()):.300}") from None
    for path, module in modules.items():
        names, held = state["attributes"].get(path, ([], {}))
        for key in [key for key in _own_names(module) if path in state["attributes"] and key not in names]:
            delattr(module, key)
        for key, plain in held.items():
            module.__dict__[key] = table.value(plain, module.__dict__.get(key))


def _plain(table: Table, name: str, value: Any) -> Plain:
    try:
        return table.plain(value)
    except UnkeptError as e:
        raise UnkeptError(f"{name} is {e}, and a checkpoint holds tensors, numbers, words and lists of them") from None


def _registered(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _buffers(module: nn.Module) -> dict[str, tuple[Tensor | None, bool]]:
    """Return the buffers of one module, those that are None too, and whether its state_dict shows them."""
    hidden = module._non_persistent_buffers_set
    return {key: (x, key not in hidden) for key, x in module._buffers.items()}


def _set_buffers(module: nn.Module, buffers: dict[str, tuple[Tensor | None, bool]]) -> None:
    """Write over the buffers of one module; where one is another tensor by its shape, put that in its place."""
    for key in [entry[0] for entry in module._buffers.items() if entry[0] not in buffers]:
        delattr(module, key)
    here = next((x.device for x in (*module.parameters(), *module.buffers())), None)
    present = dict(module._buffers.items())
    for key, (saved, persistent) in buffers.items():
        own = present.get(key)
        if saved is not None and own is not None and _fits(own, saved):
            own.copy_(saved)
        elif key in present:
            module._buffers[key] = None if saved is None else saved.to(here, copy=True)
        else:
            module.register_buffer(key, None if saved is None else saved.to(here, copy=True), persistent=persistent)


def _fits(own: Tensor, saved: Tensor) -> bool:
    return (
        (own.shape, own.dtype) == (saved.shape, saved.dtype) and own.layout == torch.strided and 0 not in own.stride()
    )


def _own_names(module: nn.Module) -> list[str]:
    scripted = isinstance(module, torch.jit.ScriptModule)  # whose attributes are not Python's
    return [] if scripted else [name for name in vars(module) if name not in STANDARD]


def _attributes(module: nn.Module, table: Table) -> tuple[list[str], dict[str, Plain]]:
    """Return the names of all attributes of one module, and those that are made of data."""
    names, held = _own_names(module), {}
    for name in names:
        with suppress(UnkeptError, RecursionError):
            held[name] = table.plain(vars(module)[name])
    return names, held
