"""Python values as tensors, numbers, words and lists of these: what a checkpoint may hold, and reads back as data.

A value becomes a list, its kind first: `(1, x)` is `["tuple", [["is", 1], ["tensor", 0, "cpu", False]]]`. Tensors stand
in a table of their own, so that one that is held twice is one again, and a registered one goes by its name.
"""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Plain = list[Any]

SCALARS = (type(None), bool, int, float, str)
SEQUENCES = {kind.__name__: kind for kind in (list, tuple, set, frozenset, bytes, bytearray, torch.Size)}
MAPPINGS = {kind.__name__: kind for kind in (dict, OrderedDict, Counter)}


class UnkeptError(ValueError):
    """A value that is neither data nor made of data; the message names its type."""


class Table:
    """Turns values into plain data and back, for one model.

    Args:
        registered: the model's parameters and buffers, by name.
        tensors: others that the plain data refers to.
    """

    def __init__(self, registered: Iterable[tuple[str, Tensor]], tensors: Iterable[Tensor] = ()) -> None:
        self.tensors = list(tensors)
        self._by_name = dict(registered)
        self._names = {id(x): name for name, x in self._by_name.items()}
        self._numbers: dict[int, int] = {}
        self._values: dict[int, Tensor] = {}

    def plain(self, x: Any) -> Plain:
        """Return a value as plain data.

        Raises:
            UnkeptError: it is not made of data.
        """
        kind = type(x)
        if kind in SCALARS or (kind in (list, tuple) and all(type(value) in SCALARS for value in x)):
            return ["is", list(x) if kind is list else x]
        if kind is complex:
            return ["complex", x.real, x.imag]
        if isinstance(x, Tensor):
            return self._plain_tensor(x)
        if isinstance(x, (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)):
            return ["generator", kind.__name__, self.plain(_generator_state(x))]
        if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "biufc":
            content = torch.from_numpy(np.frombuffer(x.tobytes(), np.uint8).copy())
            return ["array" if isinstance(x, np.ndarray) else "number", str(x.dtype), list(x.shape), content]
        if kind is deque:
            return ["deque", [self.plain(value) for value in x], x.maxlen]
        if MAPPINGS.get(kind.__name__) is kind or hasattr(x, "default_factory"):
            name = kind.__name__ if kind.__name__ in MAPPINGS else "dict"
            return ["mapping", name, [[self.plain(key), self.plain(value)] for key, value in x.items()]]
        if SEQUENCES.get(kind.__name__) is kind:
            return ["sequence", kind.__name__, [self.plain(value) for value in x]]
        own = getattr(x, "__dict__", None)
        if not isinstance(own, dict) or isinstance(x, (nn.Module, dict, list, tuple)) or callable(x):
            raise UnkeptError(f"a {kind.__name__}")
        return ["object", kind.__name__, {name: self.plain(value) for name, value in own.items()}]

    def value(self, plain: Plain, existing: Any = None) -> Any:
        """Return the value. What stands in its place is filled again where it may change and is of the same kind."""
        kind, *what = plain
        match kind:
            case "is":
                return _filled(existing, what[0]) if isinstance(what[0], list) else what[0]
            case "complex":
                return complex(*what)
            case "registered":
                return self._by_name[what[0]]
            case "tensor":
                return self._tensor(*what, existing=existing)
            case "generator":
                return _rewound(existing, what[0], self.value(what[1]))
            case "array" | "number":
                found = np.frombuffer(what[2].numpy().tobytes(), what[0]).reshape(what[1]).copy()
                return found[()] if kind == "number" else found
            case "deque":
                return deque((self.value(value) for value in what[0]), what[1])
            case "mapping":
                found = existing if isinstance(existing, dict) else MAPPINGS[what[0]]()
                keyed = {self.value(key): value for key, value in what[1]}
                keyed = {key: self.value(value, found.get(key)) for key, value in keyed.items()}
                found.clear()
                found.update(keyed)
                return found
            case "sequence":
                old = list(existing) if isinstance(existing, (list, tuple)) else []
                old += [None] * len(what[1])
                values = [self.value(value, before) for value, before in zip(what[1], old, strict=False)]
                return _filled(existing, values) if what[0] == "list" else SEQUENCES[what[0]](values)
        assert kind == "object", kind
        if type(existing).__name__ == what[0]:
            for name, inner in what[1].items():
                vars(existing)[name] = self.value(inner, vars(existing).get(name))
        return existing

    def _plain_tensor(self, x: Tensor) -> Plain:
        if id(x) in self._names:
            return ["registered", self._names[id(x)]]
        if type(x) not in (Tensor, nn.Parameter):
            raise UnkeptError(f"a {type(x).__name__}")
        number = self._numbers.setdefault(id(x), len(self.tensors))
        if number == len(self.tensors):
            self.tensors.append(x.detach())
        return ["tensor", number, x.device.type, x.is_leaf and x.requires_grad]

    def _tensor(self, number: int, device: str, trains: bool, *, existing: Any) -> Tensor:
        if number not in self._values:
            saved, taken = self.tensors[number], self._values.values()
            if _fits(existing, saved, device) and not any(existing is x for x in taken):
                existing.detach().copy_(saved)
                self._values[number] = existing
            else:
                self._values[number] = saved.to(device, copy=True).requires_grad_(trains)
        return self._values[number]


def _fits(existing: Any, saved: Tensor, device: str) -> bool:
    """Whether a tensor can be written over, so that those that share its memory see it too."""
    if not isinstance(existing, Tensor) or existing.layout != torch.strided or 0 in existing.stride():
        return False
    return (existing.shape, existing.dtype, existing.device.type) == (saved.shape, saved.dtype, device)


def _filled(existing: Any, values: list[Any]) -> list[Any]:
    if type(existing) is not list:
        return list(values)
    existing[:] = values
    return existing


def _generator_state(x: Any) -> Any:
    match x:
        case random.Random():
            return x.getstate()
        case np.random.Generator():
            return x.bit_generator.state
        case torch.Generator():
            return [str(x.device), x.get_state()]
    return x.get_state()


def _rewound(existing: Any, kind: str, state: Any) -> Any:
    """Return a random generator, the existing one or one like it, in a state."""
    if isinstance(state, list):
        device, state = state
        existing = existing or torch.Generator(device)
        existing.set_state(state)
    elif isinstance(state, dict):
        existing = existing or np.random.Generator(getattr(np.random, state["bit_generator"])())
        existing.bit_generator.state = state
    elif kind == "RandomState":
        existing = existing or np.random.RandomState()
        existing.set_state(state)
    else:
        existing = existing or random.Random()
        existing.setstate(state)
    return existing
