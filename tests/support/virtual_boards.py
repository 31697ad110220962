"""Boards that work on a virtual clock: a queue of groups is played through, with no process and in no time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ampbench.bench.launch.queue.group_queue import GroupQueue
from ampbench.bench.launch.queue.places import Team
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run

RECIPE_NAMES = tuple(RECIPES)
PROTOCOL, BUDGET = MeasurementProtocol(), Budget()
CELL = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spell:
    """A run on its boards."""

    begin_s: float
    end_s: float
    run: Run
    team: Team
    is_whole: bool = True
    """False if its boards were lost meanwhile."""


@dataclass(kw_only=True, slots=True)
class Played:
    """What became of the groups."""

    spells: list[Spell] = field(default_factory=list)

    @property
    def end_s(self) -> float:
        """When the last run ended."""
        return max((spell.end_s for spell in self.spells), default=0.0)

    @property
    def whole(self) -> list[Spell]:
        """Runs that left a record."""
        return [spell for spell in self.spells if spell.is_whole]


def gpus_of(num_boards: int, *, host: str = "", name: str = "H100") -> list[Board]:
    """Return GPUs of a machine."""
    return [Board(board_id=f"GPU-{host}{i:04}", name=name, host=host) for i in range(num_boards)]


def groups_of_sizes(sizes: Iterable[int], *, gpus: Sequence[int] = (1,)) -> list[list[Run]]:
    """Return groups of so many cells each; the number of GPUs that they want goes round."""
    groups, order = [], 0
    for seed, size in enumerate(sizes):
        cells = [
            replace(CELL, precision=RECIPES[RECIPE_NAMES[i % len(RECIPE_NAMES)]], round=i // len(RECIPE_NAMES))
            for i in range(size)
        ]
        group = []
        for cell in (replace(cell, seed=seed, gpus=gpus[seed % len(gpus)]) for cell in cells):
            order += 1
            group.append(run_of(cell, order))
        groups.append(group)
    return groups


def run_of(cell: Cell, order: int) -> Run:
    """Return a run that is nowhere on disk."""
    return Run(
        folder=Path("nowhere"),
        cell=cell,
        protocol=PROTOCOL,
        budget=BUDGET,
        board=Board(board_id="cpu"),
        order=order,
        command="",
    )


def play(
    queue: GroupQueue,
    seconds_of: Callable[[Run], float],
    *,
    lost: Iterable[tuple[float, Sequence[Board]]] = (),
    ended: Callable[[Run, float], None] = lambda run, seconds: None,
    hours: float | None = None,
) -> Played:
    """Let the boards work until nothing can begin any more.

    Args:
        queue: of the groups.
        seconds_of: how long a run takes.
        lost: when boards are lost, and which.
        ended: told of every run that has left its record, and how long it took.
        hours: after which no run begins.
    """
    played = Played()
    lanes: dict[Team, deque[Run]] = {}
    begun: dict[Team, tuple[float, int]] = {}
    events: list[tuple[float, int, Team | None, Sequence[Board]]] = []
    for number, (when_s, boards) in enumerate(lost):
        heapq.heappush(events, (when_s, number - 10**9, None, boards))
    now_s, number, spent_s = 0.0, 0, 0.0

    def go_on(team: Team) -> None:
        nonlocal number
        if hours is not None and spent_s >= 3600 * hours:
            return
        number += 1
        begun[team] = now_s, number
        heapq.heappush(events, (now_s + seconds_of(lanes[team][0]), number, team, ()))

    while True:
        while (taken := queue.take()) is not None:
            team, lanes[team] = taken
            go_on(team)
        if not events:
            return played
        now_s, event, ending, gone = heapq.heappop(events)
        if ending is None:
            queue.lose(gone)
            for team in [team for team in lanes if set(team) & set(gone)]:
                begin_s, _ = begun.pop(team)
                rest = lanes.pop(team)
                played.spells.append(Spell(begin_s=begin_s, end_s=now_s, run=rest[0], team=team, is_whole=False))
                queue.release(team, rest)
        elif begun.get(ending, (0.0, 0))[1] == event:
            begin_s, _ = begun.pop(ending)
            run = lanes[ending].popleft()
            played.spells.append(Spell(begin_s=begin_s, end_s=now_s, run=run, team=ending))
            spent_s += len(ending) * (now_s - begin_s)
            ended(run, now_s - begin_s)
            if lanes[ending]:
                go_on(ending)
            else:
                del lanes[ending]
                queue.release(ending)
