"""torch.compile for the network of a cell, with a cache of the run's own.

The compiler's disk cache outlives a process, and a cell that found the kernels of another would not be alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from bench.plan.cell import Cell
from bench.train.statuses import Unsupported

CPP_COMPILERS = ("g++", "clang++", "c++")
"""What torch's inductor looks for on a CPU, unless CXX names another."""


def compiled(module: nn.Module, cell: Cell, device: torch.device) -> nn.Module:
    """Return what computes the same by kernels made for it; they are made in its first step.

    Ansel et al., 2024, "PyTorch 2". The step around it, loss and optimizer, stays as it is.

    Raises:
        Unsupported: a CPU's kernels are C++, and there is no compiler for it.
    """
    named = os.environ.get("CXX")
    if device.type == "cpu" and not any(map(shutil.which, [named] if named else CPP_COMPILERS)):
        raise Unsupported("torch.compile writes C++ for a CPU and found no compiler: install g++, or set CXX")
    return torch.compile(module, mode=cell.compile)  # type: ignore[return-value]


@contextmanager
def cache_of_its_own(folder: Path) -> Iterator[None]:
    """Keep what the compiler writes in a run's folder while the cell runs, ranks of it included, and delete it then."""
    cache = folder / "compiled"
    shutil.rmtree(cache, ignore_errors=True)  # of a process that was killed
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    try:
        yield
    finally:
        del os.environ["TORCHINDUCTOR_CACHE_DIR"]
        shutil.rmtree(cache, ignore_errors=True)
