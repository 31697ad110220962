"""What is said of cells that run side by side: whether anybody checked that they do not slow each other down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.machine.provenance import Machine, environment_id, machine_with
from ampbench.schema.interference import ADVICE, Interference, check_of, read_interference
from ampbench.schema.version import METHOD_VERSION

MachineOf = Callable[[Board], Machine | None]
"""As of a launcher."""


def before_run(folder: Path, boards: Boards, machine_of: MachineOf) -> Iterator[str]:
    """Yield a line if cells are about to run side by side where a check advises against it."""
    if _side_by_side(boards) and (found := _check(folder, boards, machine_of)) and found.is_exclusive_advised:
        yield f"Note: {found.words}; {ADVICE}"


def in_plan(folder: Path, boards: Boards) -> Iterator[str]:
    """Yield a line on whether it was checked on this machine, and what came of it; none where one board is used."""
    if not _side_by_side(boards):
        return
    found = _check(folder, boards, machine_with)
    if found is None:
        yield (
            f"Interference: {len(boards.used)} boards run cells side by side; whether that slows a cell down was not "
            "checked: --check-interference does"
        )
    else:
        yield f"Interference: {found.words}" + (f"; {ADVICE}" if found.is_exclusive_advised else "")


def _side_by_side(boards: Boards) -> bool:
    """Whether several cells run on one machine at once: a check of this machine says nothing of others."""
    return not boards.exclusive and len(boards.used) > 1 and not any(board.host for board in boards.used)


def _check(folder: Path, boards: Boards, machine_of: MachineOf) -> Interference | None:
    machine = machine_of(boards.used[0])
    if machine is None:
        return None
    return check_of(read_interference(folder), environment_id(machine, METHOD_VERSION), len(boards.used) - 1)
