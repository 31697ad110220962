"""The runs of a plan, by group: cells that are compared with one another, and so run contiguously on one board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.cell_times import CellTimes
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.pruning import Pruning
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.run import Run


def groups_of(
    plan: Plan,
    todo: Sequence[Cell],
    folder: Folder,
    board: Board,
    *,
    command: str,
    again: bool,
    pruning: Mapping[str, Pruning] | None = None,
) -> list[list[Run]]:
    """Return the runs of the cells `todo`, each with its place in the plan's order.

    Args:
        plan: the whole of it.
        todo: cells of it, in order.
        folder: where they leave their records.
        board: stands in every run until the launcher has chosen.
        command: that started the matrix.
        again: whether records that are there already are replaced.
        pruning: cell id -> when its training ends early; None if no training does.
    """
    times = CellTimes.of(plan.cells, folder.stamp()["cell_s"])
    order = {cell.cell_id: i for i, cell in enumerate(plan.cells, 1)}
    groups: dict[str, list[Run]] = {}
    for cell in todo:
        run = Run(
            folder=folder.run_path(cell),
            cell=cell,
            protocol=plan.experiment.protocol,
            budget=plan.experiment.budget,
            board=board,
            order=order[cell.cell_id],
            command=command,
            again=again,
            pruning=(pruning or {}).get(cell.cell_id),
            expected_s=times.expected_s(cell),
        )
        groups.setdefault(cell.group_id, []).append(run)
    return list(groups.values())
