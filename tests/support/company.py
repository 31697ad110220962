"""The two conditions of a check of interference, in which cells end by laws: what their neighbours cost is known."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ampbench.bench.machine.discovery import Boards
from ampbench.bench.plan.cell import Cell
from ampbench.schema.identity import Ending
from tests.support.distant import BOARD
from tests.support.lawful import Lawful, linear

SPEED = 20_000.0


@dataclass(frozen=True, kw_only=True)
class OnBoards(Lawful):
    """Lawful, with several boards."""

    num: int = 2

    def find_boards(self) -> Boards:
        """Return so many of one model."""
        return Boards(used=tuple(dataclasses.replace(BOARD, board_id=f"GPU-{i}") for i in range(self.num)))


def noisy(cost: float, noise: float, side: str) -> Callable[[Cell], float]:
    """The speed of a cell whose neighbours cost so much, by its round."""

    def law(cell: Cell) -> float:
        return SPEED * (1 - cost) * math.exp(random.Random(f"{side}{cell.round}").gauss(0, noise))

    return law


@dataclass(frozen=True, kw_only=True)
class Lawfully:
    """Two conditions, one of which costs something; they share the list of what ran."""

    cost: float = 0.0
    noise: float = 0.001
    num: int = 2
    interrupt_at: int | None = None
    ends: Callable[[Cell], Ending | None] = lambda cell: None
    tried: list[Cell] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    @property
    def alone(self) -> OnBoards:
        """Costs nothing."""
        return self._side("alone", 0.0)

    @property
    def beside(self) -> OnBoards:
        """Costs what neighbours cost."""
        return self._side("beside", self.cost)

    def _side(self, name: str, cost: float) -> OnBoards:
        law = noisy(cost, self.noise, name)

        def told(cell: Cell) -> float:
            self.order.append(name)
            return law(cell)

        own: dict[str, Any] = {"tried": self.tried, "interrupt_at": self.interrupt_at, "ends": self.ends}
        return OnBoards(endings={}, bytes_of=linear(100, 1), images_per_s=told, num=self.num, **own)
