"""What a launcher gives a node of a cluster to do, and what the node tells of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ampbench.bench.launch.cluster.versions import Versions
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.store.run import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """Cells of one group for a node, and what the launcher knows of them."""

    runs: tuple[Run, ...]
    place: str
    """The node's name, for messages and as `Board.host`."""
    gpus: str | None = None
    """As `--gpus` on the node; None for all that the scheduler lets it see."""
    allow_shared: bool = False
    on_gpu: bool = False
    """Whether the scheduler gave the node's GPUs, so that its CPU is not meant."""
    exclusive: bool = False
    """As `--exclusive`: one cell at a time on the whole node."""
    switches: Mapping[str, str] = field(default_factory=dict)
    """Of the launcher, by `switches_of`."""
    versions: Versions | None = None
    """Of the launcher; None where other ones are insisted on."""
    kinds: Collection[str] = ()
    """Environments, as `environment_id` says them, of which the node must have one; empty for any."""
    oom_guard: OomGuard = field(default_factory=OomGuard)
    """What is known of memory so far."""
    board_hours: float | None = None
    """No further cell is started after so long."""
    carried_in: Path | None = None
    """A folder of the node in which the runs leave their files, which are told; None where both see one file system."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a node tells its launcher."""

    kind: Literal["line", "started", "told", "ended", "refused", "finished"]
    """`refused`: none of the cells that did not end yet will run here; `finished`: comes last, whatever happened."""
    cell_id: str = ""
    boards: tuple[Board, ...] = ()
    """That the cell runs on."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """As a `Watcher` is told; of `refused` and `line` with `because`; of `finished` with `is_whole`."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Name -> content, of a run that ended and is carried."""


Tell = Callable[[Said], None]
