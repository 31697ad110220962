"""What a Python object holds, one level deep, and how to put that back into the very same object.

Containers, closures, attributes, class variables, and the global variables of the user's own modules. Tensors and
random generators are not Python's: `bench/train/state/savepoint.py` keeps those.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

LIBRARIES = sys.stdlib_module_names | {"ampbench", "numpy", "timm", "torch", "torchao", "torchvision"}
"""Packages whose classes and global variables are taken to hold no state of a training. A user's may be called `models`
or `bench`."""


class Kept(NamedTuple):
    """One object, kept."""

    undo: Callable[[], None]
    """Puts back what it held."""
    held: Iterable[tuple[str, object]]
    """Where, and what."""


def entries(path: str, x: dict[Any, Any]) -> Kept:
    """Keep a dictionary, or the attributes of an object."""
    saved = dict(x)
    flat = [i for pair in saved.items() for i in pair]

    def undo() -> None:
        if not _same([i for pair in x.items() for i in pair], flat):
            x.clear()
            for key in saved:
                x[key] = saved[key]

    return Kept(undo, [pair for key, value in saved.items() for pair in ((_below(path, key), value), (path, key))])


def items(path: str, x: list[Any] | deque[Any] | set[Any] | bytearray) -> Kept:
    """Keep what is in a container."""
    saved = list(x)

    def undo() -> None:
        if not _same(list(x), saved):
            x.clear()
            (x.update if isinstance(x, set) else x.extend)(saved)

    return Kept(undo, ((f"{path}[{i}]", value) for i, value in enumerate(saved)))


def function(path: str, x: types.FunctionType) -> Kept:
    """Keep what a function holds on to and, of a function of the user's, the global variables that it names."""
    held: list[tuple[str, object]] = [(path, cell) for cell in x.__closure__ or ()]
    held += [(path, x.__defaults__), (path, x.__kwdefaults__), (path, x.__dict__)]
    saved = {}
    if not _of_library(x.__module__):
        named = {name: x.__globals__[name] for name in _names(x.__code__) if name in x.__globals__}
        held += [(f"{x.__module__}.{name}", value) for name, value in named.items()]
        saved = {name: value for name, value in named.items() if not isinstance(value, types.ModuleType)}
    return Kept(lambda: x.__globals__.update(saved), held)


def cell(path: str, x: types.CellType) -> Kept:
    """Keep a variable that a function closes over."""
    try:
        value = x.cell_contents
    except ValueError:  # not filled yet
        return Kept(lambda: None, ())
    return Kept(lambda: setattr(x, "cell_contents", value), [(path, value)])


def class_variables(path: str, x: type) -> Kept:
    """Keep the variables of a class of the user's, and what its methods hold on to."""
    owners = [owner for owner in x.__mro__ if not _of_library(owner.__module__)]
    saved = [(owner, {k: v for k, v in vars(owner).items() if _is_variable(k, v)}) for owner in owners]
    held = [(f"{owner.__name__}.{name}", value) for owner, own in saved for name, value in own.items()]
    code = (getattr(v, "__func__", getattr(v, "fget", v)) for owner in owners for v in list(vars(owner).values()))

    def undo() -> None:
        for owner, own in saved:
            for name in [k for k, v in vars(owner).items() if _is_variable(k, v) and k not in own]:
                delattr(owner, name)
            for name, value in own.items():
                if vars(owner).get(name, owner) is not value:
                    setattr(owner, name, value)

    return Kept(undo, [*held, *((path, c) for c in code if isinstance(c, types.FunctionType))])


def slots(path: str, x: object) -> Kept:
    """Keep an object's class, and those of its attributes that are in no dictionary."""
    kind = type(x)
    names = {name for owner in kind.__mro__ for name in _slots(owner) if hasattr(x, name)}
    saved = {name: getattr(x, name) for name in names}

    def undo() -> None:
        if type(x) is not kind:  # a lazy layer became what it stood for
            x.__class__ = kind
        for name, value in saved.items():
            object.__setattr__(x, name, value)

    return Kept(undo, [*((f"{path}.{name}", value) for name, value in saved.items()), (path, kind)])


def is_opaque(x: object) -> bool:
    """Whether an object may change and shows nothing of itself, as one written in C."""
    kind = type(x)
    if hasattr(x, "__dict__") or any(_slots(owner) for owner in kind.__mro__):
        return False
    plain = sys.stdlib_module_names | {"torch"}  # a date, a pattern, a stream of a GPU
    return kind.__module__.partition(".")[0] not in plain or kind.__name__ in ("array", "ScriptObject")


def _below(path: str, key: object) -> str:
    if not isinstance(key, str):
        return f"{path}[...]"
    return path if key in ("_parameters", "_buffers", "_modules") else f"{path}.{key}"


def _same(these: list[Any], those: list[Any]) -> bool:
    """Whether two lists hold the very same objects."""
    return len(these) == len(those) and all(a is b for a, b in zip(these, those, strict=True))


def _names(code: types.CodeType) -> set[str]:
    """Return the global variables and attributes that a function and those written inside it name."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _slots(owner: type) -> list[str]:
    named = vars(owner).get("__slots__", ())
    names = [named] if isinstance(named, str) else list(named)
    private = f"_{owner.__name__.lstrip('_')}"
    mangled = [private + n if n.startswith("__") and not n.endswith("__") else n for n in names]
    return [name for name in mangled if name not in ("__dict__", "__weakref__")]


def _is_variable(name: str, value: object) -> bool:
    return not (name.startswith("__") or name == "_abc_impl" or hasattr(value, "__get__") or isinstance(value, type))


@functools.cache
def _of_library(module: str | None) -> bool:
    root = (module or "builtins").partition(".")[0]
    return root in LIBRARIES or "site-packages" in str(getattr(sys.modules.get(root), "__file__", ""))
