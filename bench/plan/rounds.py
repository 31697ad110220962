"""The rounds of a plan whose verdicts decide how often a cell is timed: the first ones, and those it went on to.

What is added stands after what is there, look by look, so that a plan lists its cells in the order in which they ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan, rotated
from ampbench.schema.rounds import LOOKS


def timing_id(cell: Cell) -> str:
    """Return what all rounds of a timing share: the id of its first one."""
    return replace(cell, round=0).cell_id if cell.round else cell.cell_id


def with_rounds(plan: Plan, num_rounds: Mapping[str, int]) -> Plan:
    """Return an adaptive plan with the rounds that its timings went on to.

    Args:
        plan: with the first rounds alone, as `make_plan` returns it.
        num_rounds: `timing_id` -> rounds; a timing that is missing has the first ones.
    """
    further = [
        cell
        for before, now in pairwise(LOOKS)
        for group in plan.groups
        for cell in _further(group, num_rounds, before, now)
    ]
    return replace(plan, cells=(*plan.cells, *further))


def _further(group: tuple[Cell, ...], num_rounds: Mapping[str, int], before: int, now: int) -> Iterator[Cell]:
    """Yield the cells of a group between two looks, round by round, in rotated order."""
    timings = [cell for cell in group if not cell.round and not cell.epochs and num_rounds.get(cell.cell_id, 0) >= now]
    return rotated([replace(cell, round=number) for cell in timings for number in range(before, now)])
