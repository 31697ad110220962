"""Where a group may begin: the boards of one kind on one machine, free or at work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ampbench.bench.machine.board import Board
from ampbench.bench.store.run import Run

Team = tuple[Board, ...]
"""The boards that run a group: one, or as many GPUs as each of its cells wants."""


@dataclass(slots=True)
class Group:
    """A group that waits, or is at work."""

    runs: deque[Run]
    gpus: int
    """How many boards each of its cells wants."""
    bound: str | None
    """The kind of board that it must run on; None if it may still choose."""
    planned: int
    """Its place in the plan."""
    turn: int = 0
    """Its place among those that wait for the same boards."""
    seconds: float = 1.0
    """How long it is expected to take."""
    num_begun: int = 0
    """Runs that it had when it began."""


@dataclass(slots=True)
class Place:
    """The boards of one kind on one machine: no team reaches beyond."""

    kind: str
    is_gpu: bool
    free: list[Board] = field(default_factory=list)
    """In the order in which they are used."""
    teams: dict[Team, Group] = field(default_factory=dict)
    """At work, the first to begin first."""
    num_boards: int = 0
    """Free or at work."""

    def size(self, group: Group) -> int:
        """Return how many boards run a group here: ranks on a CPU share the one board."""
        return group.gpus if self.is_gpu else 1

    def fits(self, group: Group) -> bool:
        """Whether a group may run here, now or later."""
        return group.bound in (None, self.kind) and self.num_boards >= self.size(group)

    def begin(self, group: Group) -> Team:
        """Put a group to work on the first free boards."""
        size = self.size(group)
        team = tuple(self.free[:size])
        del self.free[:size]
        group.num_begun = len(group.runs)
        self.teams[team] = group
        return team

    def surplus(self, group: Group) -> int:
        """Return how many free boards a group that waits can do without, once the oldest teams have ended.

        What begins on these is younger than all that the group waits for, so it never has to wait for more.
        """
        size, awaited = self.size(group), len(self.free)
        for team in self.teams:
            if awaited >= size:
                break
            awaited += len(team)
        return max(0, min(len(self.free), awaited - size))


def places_of(boards: Iterable[Board], kind_of: Callable[[Board], str]) -> dict[Board, Place]:
    """Return the place of each board."""
    places: dict[tuple[str, str, bool], Place] = {}
    found = {}
    for board in boards:
        kind = kind_of(board)
        place = places.setdefault((board.host, kind, board.is_gpu), Place(kind, board.is_gpu))
        place.free.append(board)
        place.num_boards += 1
        found[board] = place
    return found
