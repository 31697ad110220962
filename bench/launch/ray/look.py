"""What a node has, as its engine finds it: boards, machine, versions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ampbench.bench.launch.cluster.versions import Versions, take_switches
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import find_boards
from ampbench.bench.machine.provenance import Machine, machine_of, refused_switch
from ampbench.bench.plan.errors import RequestError


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A question to a node."""

    switches: Mapping[str, str]
    """Of the launcher, by `switches_of`."""
    cpu_boards: int | None = None
    """How many boards share its CPU, as far as the launcher knows by now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Its answer."""

    boards: tuple[Board, ...] = ()
    machines: tuple[Machine, ...] = ()
    """Of each board."""
    versions: Versions | None = None
    boot_id: str = ""
    """The same for all nodes that run under one kernel."""
    cores: frozenset[int] = field(default_factory=frozenset)
    """That its processes may use."""
    niceness: int = 0
    """Of what measures there: above 0 every other process of the node comes first."""
    because: str = ""
    """Why nothing can be measured there; empty if something can."""


def look(asked: Look, missing: str) -> Found:
    """Look at this machine. `missing` says which packages to install; empty if all are there."""
    take_switches(os.environ, asked.switches)
    if asked.cpu_boards:
        os.environ["AMPBENCH_CPU_BOARDS"] = str(asked.cpu_boards)
    if because := missing or refused_switch(os.environ):
        return Found(because=because)
    try:
        boards = find_boards(os.environ)
    except RequestError as e:
        return Found(because=str(e))
    return Found(
        boards=tuple(replace(board, slices=()) for board in boards if not board.is_cut),
        machines=tuple(
            machine_of(board.name, board.driver, simulated_boards=board.num_sharing)
            for board in boards
            if not board.is_cut
        ),
        versions=Versions.here(),
        boot_id=_boot_id(),
        cores=frozenset(os.sched_getaffinity(0)),
        niceness=os.getpriority(os.PRIO_PROCESS, 0),
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
