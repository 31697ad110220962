"""A point to roll back to: everything that a part of a training holds, put back bit for bit, whatever ran meanwhile.

A forward pass may do more than compute: fill a buffer that was None, put a new tensor in the place of a buffer, count
its calls, keep a hidden state, draw from a generator of its own. So what is kept is not a list of tensors by name but
all that can be reached from the roots, down to the bytes of every tensor's storage. It is put back into the very same
objects: the optimizer, hooks and CUDA graphs know them.

The bytes are kept in the host's memory, so that a GPU's, which is measured, holds nothing more.
"""

from __future__ import annotations

import concurrent.futures
import functools
import io
import logging
import random
import threading
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from ampbench.bench.train.state import reachable
from ampbench.bench.train.state.random_state import read_generators, rewind_generators
from ampbench.bench.train.state.reachable import Kept

ATOMS: tuple[type, ...] = (
    *(type(None), bool, int, float, complex, str, bytes, range, slice, types.EllipsisType, types.NotImplementedType),
    *(
        types.ModuleType,
        types.CodeType,
        types.MappingProxyType,
        types.GenericAlias,
        property,
        staticmethod,
        classmethod,
    ),
    *(types.WrapperDescriptorType, types.MethodDescriptorType, types.GetSetDescriptorType, types.MethodWrapperType),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, np.generic, np.dtype),
    *(type(threading.Lock()), type(threading.RLock()), threading.Thread, threading.local),
    *(concurrent.futures.Executor, logging.Logger, io.IOBase, weakref.ReferenceType),
)
"""Types whose objects cannot change, or hold nothing that a step computes with."""

COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices"),
    torch.sparse_bsr: ("crow_indices", "col_indices"),
    torch.sparse_csc: ("ccol_indices", "row_indices"),
    torch.sparse_bsc: ("ccol_indices", "row_indices"),
}
"""Layout of a sparse tensor -> its indices; beside them are its values."""


class CannotRollBackError(ValueError):
    """Something was found that cannot be put back; the message names where it is, and why."""


class Savepoint:
    """What `roots` hold now, by the name under which they are reported, and the generators of the process.

    Raises:
        CannotRollBackError: they hold what cannot be put back, as a generator that is half used up.
    """

    def __init__(self, roots: Mapping[str, object], device: torch.device) -> None:
        self._device = device
        self._random = read_generators(device)
        self._undo: list[Callable[[], None]] = []
        self._storages: dict[int, tuple[Any, Tensor]] = {}
        """A tensor's memory, and a copy of its bytes."""
        self._seen: dict[int, object] = {}
        """By identity; held, so that no identity is given twice."""
        pending: list[tuple[str, object]] = [*roots.items()][::-1]
        while pending:
            path, x = pending.pop()
            if id(x) not in self._seen and not isinstance(x, ATOMS):
                self._seen[id(x)] = x
                for kept in self._kept(path, x):
                    self._undo.append(kept.undo)
                    pending += kept.held

    @torch.no_grad()
    def roll_back(self) -> None:
        """Put all of it back. May be called more than once."""
        for undo in self._undo:
            undo()
        for storage, saved in self._storages.values():
            if storage.nbytes() != saved.numel():
                storage.resize_(saved.numel())
            _bytes(storage).copy_(saved)
        rewind_generators(self._random, self._device)

    def _kept(self, path: str, x: Any) -> Iterator[Kept]:
        match x:
            case Tensor():
                yield self._tensor(path, x)
            case torch.Generator() | random.Random() | np.random.Generator() | np.random.RandomState():
                yield Kept(_rewind(x), ())
            case np.ndarray():
                yield Kept(_refill(x, x.copy()), [(path, v) for v in x.flat] if x.dtype == object else ())
            case dict():
                yield reachable.entries(path, x)
            case list() | deque() | set() | bytearray():
                yield reachable.items(path, x)
            case tuple() | frozenset():
                yield _through((f"{path}[{i}]", value) for i, value in enumerate(x))
            case types.FunctionType():
                yield reachable.function(path, x)
            case types.CellType():
                yield reachable.cell(path, x)
            case types.MethodType():
                yield _through([(path, x.__self__), (path, x.__func__)])
            case types.BuiltinFunctionType():
                yield _through([(path, x.__self__)])
            case functools.partial():
                yield _through([(path, x.func), (path, x.args), (path, x.keywords)])
            case torch.jit.ScriptModule():  # its own attributes are not Python's
                yield _through([*x.named_parameters(path), *x.named_buffers(path)])
                return
            case type():
                yield reachable.class_variables(path, x)
                return
            case Iterator() if not hasattr(x, "__dict__"):
                raise CannotRollBackError(f"{path} is a {type(x).__name__}: how far it has come cannot be put back")
            case _ if reachable.is_opaque(x):
                kind = type(x)
                raise CannotRollBackError(
                    f"{path} is a {kind.__module__}.{kind.__name__}, of which no copy can be made"
                )
            case _:
                yield reachable.slots(path, x)
        attributes = getattr(x, "__dict__", None)
        if isinstance(attributes, dict) and id(attributes) not in self._seen:
            self._seen[id(attributes)] = attributes
            yield reachable.entries(path, attributes)

    def _tensor(self, path: str, x: Tensor) -> Kept:
        if is_lazy(x):
            raise CannotRollBackError(f"{path} has no shape yet")
        gradient, trains, now = x.grad if x.is_leaf else None, x.requires_grad, x.detach()
        held: list[tuple[str, object]] = [(f"{path}.grad", gradient)]
        one_block = x.layout == torch.strided and not hasattr(x, "__tensor_flatten__")
        if hasattr(x, "__tensor_flatten__"):
            held += [(f"{path}.{name}", getattr(x, name)) for name in x.__tensor_flatten__()[0]]
        elif x.layout == torch.sparse_coo:
            held += [(path, x._indices()), (path, x._values())]
        elif x.layout in COMPRESSED:
            held += [(path, getattr(x, name)()) for name in (*COMPRESSED[x.layout], "values")]
        elif not one_block:
            raise CannotRollBackError(f"{path} is a tensor of layout {x.layout}, whose memory cannot be copied")
        elif x.device.type != "meta":
            storage = x.untyped_storage()
            if storage._cdata not in self._storages:
                self._storages[storage._cdata] = (storage, _bytes(storage).to("cpu", copy=True))

        def undo() -> None:
            if one_block and _place(x) != _place(now):
                x.data = now
            if x.is_leaf:
                x.requires_grad_(trains)
                x.grad = gradient

        return Kept(undo, held)


def _through(held: Any) -> Kept:
    """Keep nothing of an object that cannot change, but what it holds."""
    return Kept(lambda: None, held)


def _bytes(storage: Any) -> Tensor:
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)


def _place(x: Tensor) -> tuple[Any, ...]:
    return x.shape, x.stride(), x.dtype, x.device, x.storage_offset(), x.untyped_storage()._cdata


def _refill(x: Any, saved: Any) -> Callable[[], None]:
    return lambda: np.copyto(x, saved) if x.flags.writeable else None


def _rewind(x: Any) -> Callable[[], None]:
    """Return what sets a random generator of the model's own back to where it is now."""
    match x:
        case random.Random():
            return functools.partial(x.setstate, x.getstate())
        case np.random.Generator():
            return functools.partial(setattr, x.bit_generator, "state", x.bit_generator.state)
    return functools.partial(x.set_state, x.get_state())
