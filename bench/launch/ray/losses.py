"""What is made of relays and nodes that were lost: how often a cell is run again, and what a person is told.

It is another rule than Slurm's (bench/launch/slurm/losses.py): Ray tells no cause and sets no limit of time or memory,
so losses are only counted, of cells and of boards, while one launcher lives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ampbench.bench.launch.ray.seats import Seat
from ampbench.bench.machine.board import Board
from ampbench.bench.store.run import Run

MOST_LOSSES = 3
"""A cell whose node or process was lost so often while it ran has ended them itself; a board, likewise, is bad."""

MOST_CHARACTERS = 300
"""Of what Ray says of a loss, in many lines."""


@dataclass
class Losses:
    """All of a run."""

    ray: Any
    say: Callable[[str], None]
    """Shows a person a line."""
    counts: Counter[str] = field(default_factory=Counter)
    """Cell id or board -> how often its relay was lost."""
    reasons: list[str] = field(default_factory=list)
    """Why boards run nothing more."""
    boards: set[Board] = field(default_factory=set)
    """Those."""
    said: set[str] = field(default_factory=set)

    def of_cell(self, run: Run, error: Exception, *, is_begun: bool) -> str | None:
        """Count a loss of a cell at work; return why it is not run again, None if it is."""
        self.counts[run.cell.cell_id] += is_begun
        if self.counts[run.cell.cell_id] < MOST_LOSSES:
            return None
        return f"its node or process was lost {MOST_LOSSES} times while it ran: {_words(error)}"

    def of_board(self, seat: Seat, error: Exception) -> str | None:
        """Count a loss on a board; return why it is not used again, None if it is."""
        self.counts[str(seat.board)] += 1
        if isinstance(error, self.ray.exceptions.ActorUnschedulableError) or not self._is_alive(seat):
            return f"node {seat.board.host} was lost"
        if "node has died" in str(error):
            return f"node {seat.board.host} was lost"
        if self.counts[str(seat.board)] >= MOST_LOSSES:
            return f"{seat.board} lost its process {MOST_LOSSES} times: {_words(error)}"
        return None

    def give_up(self, boards: Sequence[Board], because: str) -> None:
        """Tell that boards run nothing more."""
        self.reasons.append(because)
        self.boards.update(boards)
        self.say_once(f"{because}; {', '.join(map(str, boards))} will run nothing more")

    def stranded(self, groups: Sequence[Sequence[Run]], seats: Iterable[Seat]) -> str | None:
        """Say which cells have no board left; None if all had."""
        num = sum(map(len, groups))
        if not num:
            return None
        kinds = " or ".join(dict.fromkeys(seat.machine.machine for seat in seats))
        return (
            f"{num} cells have no record, for no board is left that may run them: {self.words}. They wait for {kinds}; "
            "the same command goes on when the cluster has one again"
        )

    @property
    def words(self) -> str:
        """All reasons."""
        return "; ".join(dict.fromkeys(self.reasons)) or "their groups have rows of another kind of board"

    def say_once(self, line: str) -> None:
        """Show a line unless it was shown."""
        if line not in self.said:
            self.said.add(line)
            self.say(line)

    def _is_alive(self, seat: Seat) -> bool:
        return any(node["NodeID"] == seat.node_id and node["Alive"] for node in self.ray.nodes())


def _words(error: Exception) -> str:
    return " ".join(str(getattr(error, "cause", None) or error).split())[:MOST_CHARACTERS]
