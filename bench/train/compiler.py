"""torch.compile for the network of a cell, with a cache of the run's own.

The compiler's cache on disk outlives a process: a cell that found the kernels of another would not start from nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.statuses import Unsupported

CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Where the compiler keeps what it made, and where its compiler of GPU kernels does."""


def compiled(module: nn.Module, cell: Cell, device: torch.device) -> nn.Module:
    """Return what computes the same by kernels made for it; they are made in its first step.

    Ansel et al., 2024, "PyTorch 2". The step around it, loss and optimizer, stays as it is.

    Raises:
        Unsupported: the compiler behind it is missing: a CPU's kernels are C++, a GPU's are started from C.
    """
    if device.type == "cpu" and not _found(os.environ.get("CXX") or "g++"):
        raise Unsupported("torch.compile writes C++ for a CPU and found no compiler: install g++, or set CXX")
    if device.type == "cuda" and not any(map(_found, [os.environ.get("CC") or "gcc", "clang"])):
        raise Unsupported("torch.compile starts its GPU kernels from C and found no compiler: install gcc, or set CC")
    return torch.compile(module, mode=cell.compile)  # type: ignore[return-value]


@contextmanager
def cache_of_its_own(folder: Path) -> Iterator[None]:
    """Keep what the compiler writes in a run's folder while the cell runs, ranks of it included, and delete it then."""
    cache, before = folder / "compiled", {name: os.environ.get(name) for name in CACHES}
    shutil.rmtree(cache, ignore_errors=True)  # of a process that was killed
    os.environ |= {name: str(cache / name.partition("_")[0].lower()) for name in CACHES}
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(cache, ignore_errors=True)


def _found(command: str) -> bool:
    return shutil.which(shlex.split(command)[0]) is not None
