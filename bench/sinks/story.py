"""A run as sinks tell it: its settings, its record, and its curves by epoch, step and block; read in the child."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.plan.cell import Cell
from ampbench.schema.files import CELL_FILE, RECORD, RUNS, table_file

MAX_POINTS = 2000
"""Of a curve that is logged from a table; of a longer one every n-th row, and the last."""

OF_A_BLOCK = ("block", "epoch", "num_steps", "num_images", "device_s", "wall_s")
"""Columns of `blocks` that are no curve: its throughput is made of them."""

PRIVATE = frozenset({"host"})
"""Columns of a record that stay here: the name that a machine has in its own network says nothing to others."""

AXES = {"live": "step", "epoch": "epoch", "step": "step", "block": "block"}
"""Group of curves -> what they are drawn over.

`live` is the last step of a block of steps, as it was told while the run was at work; the others are the tables of that
name, `epoch` row by row as they come, `step` and `block` once the run has ended.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Numbers of a run at one moment."""

    group: str
    """A key of `AXES`."""
    x: int
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A run's folder, which has a cell.json at least."""

    folder: Path
    """Of the experiment's results."""
    run_folder: str
    cell: Cell
    settings: Mapping[str, Any]
    """The cell, in JSON's types."""
    run_id: str
    """One for a cell on a board of a machine, so that no machine replaces another's run, and a run again its own."""

    @classmethod
    def of(cls, folder: Path, run_folder: str) -> Story:
        """Read cell.json.

        Raises:
            OSError, ValueError, TypeError, KeyError: there is none that can be read.
        """
        plain = json.loads((folder / RUNS / run_folder / CELL_FILE).read_text())
        cell, board = Cell.from_json(dict(plain["cell"])), plain.get("board", {}).get("name")
        machine = hashlib.sha256(json.dumps([platform.node(), board]).encode()).hexdigest()[:8]
        return cls(
            folder=folder,
            run_folder=run_folder,
            cell=cell,
            settings=plain["cell"],
            run_id=f"{machine}-{cell.cell_id}",
        )

    def record(self) -> dict[str, Any]:
        """Return the columns of the record that are not null, in JSON's types, without `PRIVATE` ones.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        from pyarrow.parquet import ParquetFile

        [row] = ParquetFile(self._path(RECORD)).read().to_pylist()
        known = {key: value for key, value in row.items() if value is not None and key not in PRIVATE}
        plain: dict[str, Any] = json.loads(json.dumps(known, default=str))  # JSON has no time stamps
        return plain

    def points(self, *, after_epoch: int = 0) -> Iterator[Point]:
        """Yield the curves of its tables, as far as there are any; of the epochs those after `after_epoch`.

        Raises:
            OSError, ValueError, TypeError: a table cannot be read.
        """
        for row in self._rows("epochs"):
            if row["epoch"] > after_epoch:
                yield epoch_point(row)
        for row in self._rows("steps"):
            yield Point(group="step", x=row["step"], values=numbers(row, leave_out=("step", "epoch", "num_images")))
        for row in self._rows("blocks"):
            yield Point(group="block", x=row["block"], values=numbers(row, leave_out=OF_A_BLOCK))

    def _rows(self, table: str) -> list[dict[str, Any]]:
        """Return rows of a table, at most `MAX_POINTS` and the last; none if it was not written."""
        from pyarrow.parquet import ParquetFile

        path = self._path(table_file(table))
        if not path.exists():
            return []
        whole = ParquetFile(path).read()
        last = len(whole) - 1
        if last < 0:
            return []
        rows: list[dict[str, Any]] = whole.take([*range(0, last, -(-last // MAX_POINTS) or 1), last]).to_pylist()
        return rows

    def _path(self, file: str) -> Path:
        return self.folder / RUNS / self.run_folder / file


def epoch_point(row: Mapping[str, Any]) -> Point:
    """Return the point of a row of `epochs`."""
    return Point(group="epoch", x=row["epoch"], values=numbers(row, leave_out=("epoch",)))


def numbers(row: Mapping[str, Any], *, leave_out: tuple[str, ...] = ()) -> dict[str, float]:
    """Return the numbers of a row by name: no text, no null, no truth value."""
    return {
        name: value
        for name, value in row.items()
        if name not in leave_out and isinstance(value, int | float) and not isinstance(value, bool)
    }
