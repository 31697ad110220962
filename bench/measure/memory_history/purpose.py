"""The purpose of an allocation: a guess from the Python stack that made it and from the way it was freed.

The stack alone is not enough. Autograd's own thread has none; a cast copy of a weight and an operator's workspace come
from the same line as the activation. The end of an allocation distinguishes some of them, and the caller may know the
addresses of others; the rest is called `backward` or `other`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

Frames = list[dict[str, Any]]
"""A stack, innermost frame first."""

WEIGHTS, GRADIENTS, OPTIMIZER_STATE, AUTOCAST_CACHE = "weights", "gradients", "optimizer state", "autocast cache"
ACTIVATIONS, BACKWARD, WORKSPACE = "activations", "backward", "workspace"
CUBLAS = "cuBLAS workspace"
"""Allocated at a handle's first matrix product on a stream, and kept until the process ends: no tensor of the model."""
BUFFERS, DATA = "buffers", "data"
"""Only the caller can know these."""
BEFORE, OTHER = "before recording", "other"

MADE_BY = (
    (r"/torch/optim/", OPTIMIZER_STATE),
    (r"/torch/nn/modules/module\.py:(_apply|convert)$", WEIGHTS),
    (r"/torch/nn/.*:(__init__|reset_parameters)$", WEIGHTS),
    (r"/torch/nn/(modules/|functional)", ACTIVATIONS),
    (r":forward$", ACTIVATIONS),
    (r":(backward|_engine_run_backward)$", BACKWARD),
)
"""Pattern of `file:function` -> purpose of an allocation. The innermost frame that matches any row decides."""
FREED_BY = ((r":zero_grad$", GRADIENTS), (r"/torch/amp/autocast_mode\.py:__exit__$", AUTOCAST_CACHE))
"""The same for the stack that freed it."""
CUBLAS_FRAME = re.compile(r"getNewWorkspace|getCUDABlasLtWorkspace|getCurrentCUDABlasHandle|[cC]ublasLtWorkspace")
"""A C++ function of aten/src/ATen/cuda/CublasHandlePool.cpp, in recordings that hold C++ stacks."""
CUBLAS_BYTES = frozenset({8_519_680})
"""Of torch's default before Hopper, `:4096:2:16:8`: 2 x 4096 KiB + 8 x 16 KiB. Nothing else has that size, so it is
enough where no C++ stack was recorded; Hopper's 32 MiB could be a tensor's."""
TORCH = re.compile(r"(site-packages|dist-packages|pytorch)/torch/")
ONE_CALL = 64
"""Most events between an operator's allocation of its workspace and the free."""
AUTOGRAD_THREAD = "autograd's own thread"


class Allocation(NamedTuple):
    """An allocation, from the event that made it to the event that freed it."""

    address: int
    size_bytes: int
    made_at: int
    """Index of the event; -1 before the first."""
    freed_at: int
    """Index of its free_completed; the number of events if it was not freed."""
    frames: Frames | None
    """None if no stack was recorded; empty in autograd's own thread, and before the recording."""


class Purposes:
    """Tells the purpose of each allocation of one device."""

    def __init__(self, trace: list[dict[str, Any]], known: Mapping[int, str]) -> None:
        self.trace = trace
        self.known = known
        self._read: dict[tuple[int, ...], _Stack] = {}

    def category(self, a: Allocation) -> str:
        """Return the purpose of an allocation, by the first rule that applies.

        1. The caller knows its address, and it lived when the snapshot was taken; or it is cuBLAS's workspace.
        2. `zero_grad` freed it: a gradient. Or the end of autocast freed it: a copy in autocast's cache.
        3. It lived before the recording, and there is no stack of it.
        4. It was freed before any other line of Python ran: workspace of an operator, or a temporary result.
        5. The optimizer made it: state if it lived at the end, else workspace.
        6. The backward pass made it, whose own thread has no Python stack: the gradient of a weight if it lived at
           the end, else `backward`, which is gradients of activations and workspace.
        7. Its stack, by `MADE_BY`.
        """
        lived = a.freed_at == len(self.trace)
        if lived and a.address in self.known:
            return self.known[a.address]
        if self.stack(a.frames).made == CUBLAS or a.size_bytes in CUBLAS_BYTES:
            return CUBLAS
        let_go = None if lived else self.stack(self.trace[a.freed_at].get("frames")).let_go
        if let_go:
            return let_go
        if self._is_unseen(a):
            return BEFORE
        if self._is_passing(a):
            return WORKSPACE
        made = self.stack(a.frames).made
        return {(OPTIMIZER_STATE, False): WORKSPACE, (BACKWARD, True): GRADIENTS}.get((made, lived), made)

    def call_site(self, a: Allocation) -> str:
        """Return the Python code that made an allocation, as far as it is known."""
        return BEFORE if self._is_unseen(a) else self.stack(a.frames).call_site

    def stack(self, frames: Frames | None) -> _Stack:
        """Return what a stack shows. Each is read once: events of one snapshot share their frames."""
        if frames is None:
            return _UNKNOWN
        key = tuple(map(id, frames))
        if key not in self._read:
            self._read[key] = _Stack.read(frames)
        return self._read[key]

    def _is_unseen(self, a: Allocation) -> bool:
        return a.made_at < 0 and not a.frames

    def _is_passing(self, a: Allocation) -> bool:
        """Whether an allocation was made and freed within one line of Python."""
        if not a.frames or a.made_at < 0 or a.freed_at == len(self.trace) or a.freed_at - a.made_at > ONE_CALL:
            return False
        return all(event.get("frames") == a.frames for event in self.trace[a.made_at : a.freed_at + 1])


class _Stack(NamedTuple):
    """What a stack shows."""

    made: str
    """Category of what it allocates."""
    let_go: str | None
    """Category of what it frees; None if that is not known."""
    call_site: str
    """`models/vgg.py:42 forward`: the innermost frame outside torch, by the last two parts of its path."""

    @classmethod
    def read(cls, frames: Frames) -> _Stack:
        """Read a stack; frames of C++, which some recordings have, are skipped."""
        python = [frame for frame in frames if frame["filename"].endswith(".py")]
        of_cublas = any(CUBLAS_FRAME.search(frame["name"]) for frame in frames)
        if not python:
            return cls(CUBLAS if of_cublas else BACKWARD, None, AUTOGRAD_THREAD)
        calls = [f"{frame['filename']}:{frame['name']}" for frame in python]
        at = next((frame for frame in python if not TORCH.search(frame["filename"])), python[0])
        file = "/".join(at["filename"].split("/")[-2:])
        made = CUBLAS if of_cublas else _first(MADE_BY, calls) or OTHER
        return cls(made, _first(FREED_BY, calls), f"{file}:{at['line']} {at['name']}")


_UNKNOWN = _Stack(OTHER, None, "no stack was recorded")


def _first(rows: tuple[tuple[str, str], ...], calls: list[str]) -> str | None:
    return next((category for call in calls for token, category in rows if re.search(token, call)), None)
