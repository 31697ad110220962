"""How a plan is swept: where its cells run and who listens; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ampbench.bench.launch.launcher import Launcher
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.pruning import Pruning
from ampbench.bench.store.folder import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Where a plan runs and who listens; nothing here changes a value."""

    launcher: Launcher
    """Where its cells run."""
    results: Path | None = None
    again: Sequence[str] = ()
    """Statuses whose cells are run again."""
    mixed: bool = False
    """Whether rows of several machines or versions may be joined."""
    sinks: Sequence[str] = ()
    """Who else hears of the runs, by the keys of `SINKS`."""
    project: str = ""
    """Of the sinks on their servers; empty means their default."""
    log_every_s: float = 30.0
    introduced: set[str] = field(default_factory=set, compare=False)
    """The lines about machine, model and images that were shown: the sweeps of one command show each once."""
    report: bool = True
    """Whether the verdict is printed and its page drawn at the end; a search that asks for one number wants neither."""
    accumulate: bool = False
    """Whether the finished runs of the folder join the plan, whatever made them; no report is made of the mixture."""
    out_of_hours: str = ""
    """Said where `[budget] gpu_hours` are used up that no person wrote; empty names the field to raise."""
    pruning: Mapping[str, Pruning] = field(default_factory=dict)
    """Cell id -> when its training ends early, of the trials of a search."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """What came of running the cells of a plan; no report is made yet."""

    plan: Plan
    folder: Folder
    fresh: tuple[Cell, ...]
    """Cells that had no record before, or were to be run again."""
    is_whole: bool
    """Whether nobody interrupted."""
