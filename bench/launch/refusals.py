"""What is refused before the first cell: untrue labels, a board in use, rows of several machines, no locks."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ampbench.bench.launch.cluster.versions import Versions
from ampbench.bench.machine import process_tree
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.board_state.reader import foreign_processes
from ampbench.bench.machine.locks import holder_pids, try_board
from ampbench.bench.machine.machine_lock import try_machine
from ampbench.bench.machine.provenance import Machine, environment_id, refused_switch
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.environment import as_variables, why_hidden
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.schema.version import METHOD_VERSION


def refuse_switches(environ: Mapping[str, str]) -> None:
    """Refuse environment variables under which a recipe's label would not be true."""
    because = refused_switch(dict(environ))
    if because:
        raise RequestError(because)


def refuse_hidden(cells: Iterable[Cell], environ: Mapping[str, str]) -> None:
    """Refuse a variable of the shell that would hide one of a cell's own."""
    for cell in cells:
        if because := why_hidden(as_variables(cell.environment), environ):
            raise RequestError(because)


def refuse_shared(boards: Sequence[Board], nvml: Any = None) -> None:
    """Refuse to measure on a GPU where somebody else computes; a worker of another launcher of ours is waited for.

    Whoever started this command is not somebody else, though it may hold a CUDA context; the rows tell what else of
    its process group was there.
    """
    kin = process_tree.related_pids() if any(board.is_gpu for board in boards) else []
    num_contexts = sum(process_tree.holds_cuda(pid) for pid in kin)
    for board in boards:
        if board.is_gpu:
            found = foreign_processes(board.board_id, [*holder_pids(board), *kin], nvml, num_contexts=num_contexts)
            if found:
                raise RequestError(
                    f"{board} is in use by {', '.join(found)}, and would be measured with it; wait until it is free, "
                    "choose another with --gpus, or insist with --allow-shared (the rows say so)"
                )


def refuse_unlike(machines: Mapping[Board, Machine]) -> None:
    """Refuse to run on machines whose versions differ: their rows would be of several methods in one table.

    Other boards, CPUs or drivers are another kind: a group stays on one, and nothing is compared across kinds.

    Args:
        machines: board -> its machine, as the launcher describes it.
    """
    versions = {board: (machine.torch, machine.python) for board, machine in machines.items()}
    for (one, first), (other, second) in itertools.pairwise(versions.items()):
        if first != second:
            raise RequestError(
                f"{other} has torch {second[0]}, Python {second[1]}, and {one} torch {first[0]}, Python {first[1]}: "
                "install the same on both, leave one out, or insist with --mixed"
            )


def refuse_mixing(plan: Plan, folder: Folder, todo: Sequence[Cell], machines: Collection[Machine]) -> None:
    """Refuse to add rows of other machines, versions or methods to those that are there, joined, and stay.

    Args:
        plan: whose rows may not be mixed.
        folder: its results, joined.
        todo: the cells that are to be run, on `machines`; their old rows go.
        machines: each kind of those that are used, as the launcher describes it; none if only a job will see what its
            node is, and then versions are compared here, and the rest there.
    """
    if not folder.done(plan.cells):
        return
    if not machines:
        _refuse_other_versions(folder, todo)
        return
    wanted = {environment_id(machine, METHOD_VERSION) for machine in machines}
    replaced = {cell.cell_id for cell in todo}
    columns = ["cell_id", "environment_id", "status", "machine", "torch", "python", "method_version"]
    for row in joined_rows(folder, columns):
        stays = row["status"] == "ok" and row["cell_id"] not in replaced
        if stays and row["environment_id"] not in wanted:
            here = "; ".join(
                f"{one.machine}, torch {one.torch}, Python {one.python}" for one in dict.fromkeys(machines)
            )
            raise RequestError(
                f"{folder.path} holds rows of {row['machine']} with torch {row['torch']}, Python {row['python']}, "
                f"method {row['method_version']}; here are {here}, method {METHOD_VERSION}: "
                "give --results DIR for a folder of its own, or --mixed to insist"
            )


def _refuse_other_versions(folder: Folder, todo: Sequence[Cell]) -> None:
    here, replaced = Versions.here(), {cell.cell_id for cell in todo}
    for row in joined_rows(folder, ["cell_id", "status", "torch", "python", "method_version"]):
        if row["status"] == "ok" and row["cell_id"] not in replaced:
            there = Versions(torch=row["torch"], python=row["python"], method=row["method_version"])
            here.refuse_other(there, f"{folder.path} holds rows of a machine that")


def refuse_unwritable_locks(boards: Sequence[Board]) -> None:
    """Refuse to start workers that could not lock their board."""
    try:
        try_machine()
        for board in boards:
            try_board(board)
    except OSError as e:
        raise RequestError(
            f"{e.filename or 'the folder of locks'}: cannot be written ({e.strerror}); mend its permissions, or "
            "name another folder with AMPBENCH_LOCKS=DIR, the same for all who measure on this machine"
        ) from None
