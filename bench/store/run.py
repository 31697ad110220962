"""A run: a cell with a folder, a board and the way it is measured. Written as cell.json, read by the worker."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.pruning import Pruning
from ampbench.bench.store.atomic import write_json
from ampbench.bench.store.names import results_of
from ampbench.schema.files import CELL_FILE, RECORD
from ampbench.schema.identity import Start
from ampbench.schema.renames import old_names, with_new_keys


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """All that a worker needs to know; it reads no experiment file."""

    folder: Path
    cell: Cell
    protocol: MeasurementProtocol
    budget: Budget
    board: Board
    order: int
    """Place in the plan's order of execution, from 1."""
    command: str
    """Command that started the matrix."""
    again: bool = False
    """Whether an existing record is to be replaced."""
    peers: tuple[Board, ...] = ()
    """The boards of ranks 1, 2, … where several train the cell; ranks on a CPU share its board."""
    exclusive: bool = False
    """Whether no other cell may be at work on this machine meanwhile."""
    pruning: Pruning | None = None
    """When the training ends early, as a trial of a search may; None if never."""

    expected_s: float | None = field(default=None, compare=False)
    """How long it will take, judged by finished cells; None if there is none. Only the launcher asks; not written."""

    @property
    def boards(self) -> tuple[Board, ...]:
        """All boards that the run occupies, that of rank 0 first."""
        return (self.board, *self.peers)

    @property
    def record_path(self) -> Path:
        """The file whose existence means *done*."""
        return self.folder / RECORD

    @property
    def recorded_ns(self) -> int | None:
        """When the record was written, by the file system's clock; None if there is none."""
        try:
            return self.record_path.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def start(self, at: datetime, *, waited_s: float | None = None, num_neighbours: int | None = None) -> Start:
        """Return the columns of how it was started."""
        return Start(
            order=self.order,
            command=self.command,
            started_at=at,
            waited_s=waited_s,
            exclusive=self.exclusive,
            num_neighbours=num_neighbours,
        )

    def save(self) -> None:
        """Write cell.json into the run's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plain = {
            "cell": self.cell.to_json(),
            "protocol": asdict(self.protocol),
            "budget": asdict(self.budget),
            "board": asdict(self.board),
            "peers": [asdict(board) for board in self.peers],
            "order": self.order,
            "command": self.command,
            "again": self.again,
            "exclusive": self.exclusive,
        }
        if self.pruning:
            plain["pruning"] = asdict(self.pruning)
        write_json(self.folder / CELL_FILE, plain)

    @classmethod
    def load(cls, folder: Path) -> Run:
        """Read cell.json.

        Raises:
            ValueError: there is none, or it is of another version of ampbench.
            RequestError: it is of an older one, and can be converted.
        """
        try:
            plain = json.loads((folder / CELL_FILE).read_text())
            if with_new_keys(plain) != plain:
                raise RequestError(old_names(results_of(folder)))
            return cls(
                folder=folder,
                cell=Cell.from_json(plain["cell"]),
                protocol=MeasurementProtocol(**plain["protocol"] | {"passes": tuple(plain["protocol"]["passes"])}),
                budget=Budget(**plain["budget"]),
                board=Board.from_json(plain["board"]),
                order=plain["order"],
                command=plain["command"],
                again=plain["again"],
                peers=tuple(Board.from_json(board) for board in plain["peers"]),
                exclusive=plain.get("exclusive", False),
                pruning=Pruning.from_json(plain["pruning"]) if plain.get("pruning") else None,
            )
        except RequestError:
            raise
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
            raise ValueError(
                f"{folder}: no cell.json that this version can read ({e}); start it by run_matrix.py"
            ) from None
