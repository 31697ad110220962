"""What a check looks at, and what it finds: OK, a warning, or what keeps cells from running and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ampbench.bench.machine.hardware import Hardware, find_hardware
from ampbench.bench.plan.cell import Cell

Level = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The answer of a check."""

    level: Level
    said: str
    """What was found, with the next move unless it is OK."""


def ok(said: str) -> Finding:
    """Return a finding that keeps nothing from running."""
    return Finding(level="ok", said=said)


def warning(said: str) -> Finding:
    """Return a finding that a person should know; cells run."""
    return Finding(level="warning", said=said)


def failed(said: str) -> Finding:
    """Return a finding that keeps cells from running; `said` ends with the next move."""
    return Finding(level="failed", said=said)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The machine, and what is to be run on it."""

    results: Path
    """Folder for results; it need not exist yet."""
    data: tuple[tuple[str, int], ...]
    """Names of data sets as cells give them, each with the size of its images."""
    models: tuple[str, ...] = ()
    num_cells: int = 1
    most_ranks: int = 1
    """Of a cell, each a process of its own."""
    gpus: str | None = None
    """As `--gpus`."""
    asks_network: bool = False
    """Whether a host that data would come from is asked; this takes up to some seconds."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    library: Any = None
    """Replaces NVML's bindings in tests."""
    root: Path = Path("/")
    """Holds `proc/` and `sys/`; another folder in tests."""

    @classmethod
    def of(cls, cells: Sequence[Cell], results: Path, gpus: str | None) -> Subject:
        """Return what is to be known before these cells are run."""
        return cls(
            results=results,
            data=tuple(dict.fromkeys((cell.data, cell.image_size) for cell in cells)),
            models=tuple(dict.fromkeys(cell.model for cell in cells)),
            num_cells=len(cells),
            most_ranks=max((cell.gpus for cell in cells), default=1),
            gpus=gpus,
        )

    @cached_property
    def hardware(self) -> Hardware:
        """Of this machine."""
        return find_hardware(self.environ, gpus=self.gpus, library=self.library, root=self.root)


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A question with a name."""

    name: str
    ask: Callable[[Subject], Finding]
