"""The plan of an experiment, from the `plan.json` beside its results."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ampbench.schema.files import PLAN
from ampbench.schema.rounds import ADAPTIVE
from ampbench.visualize.read.files import ResultsError

WORDS: tuple[Literal["max", "knee"], ...] = ("max", "knee")
"""What a file says in place of a batch size: that each recipe takes its largest, or its knee, as trials found them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnBatches:
    """Batch sizes that trials found for each recipe."""

    word: Literal["max", "knee"]
    memory_gib: float | None
    """That every cell may take; None means what the board has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The planned experiment; empty strings and no cells if there is no plan.json."""

    question: str = ""
    source: str = ""
    """Path of the experiment file."""
    toml: str = ""
    """The text of it."""
    command: str = ""
    cell_ids: tuple[str | None, ...] = ()
    """Ids of the planned cells; None for a cell without one."""
    cells: tuple[dict[str, Any], ...] = dataclasses.field(default=(), repr=False)
    """The planned cells: every field of each, its default written out."""

    @property
    def file(self) -> dict[str, Any]:
        """The experiment file as it was read; empty if its text is unknown."""
        try:
            return tomllib.loads(self.toml)
        except (ValueError, RecursionError):
            return {}

    @property
    def is_adaptive(self) -> bool:
        """Whether the verdicts decided how many rounds each timing has."""
        measure = self.file.get("measure")
        return isinstance(measure, dict) and measure.get("rounds") == ADAPTIVE

    @property
    def own_batches(self) -> OwnBatches | None:
        """How each recipe got a batch size of its own; None where the file says numbers, or several things."""
        try:
            tables = [self.file.get("fixed", {}), *_points(self.file.get("matrix", {}))]
            said = {table["batch_size"] for table in tables if "batch_size" in table}
            limit = self.file.get("budget", {}).get("memory_gib_per_cell")
        except (TypeError, AttributeError):  # such a file was never run
            return None
        words = [word for word in WORDS if said == {word}]
        return (
            OwnBatches(word=words[0], memory_gib=limit if isinstance(limit, int | float) else None) if words else None
        )

    def of(self, cell_ids: Collection[str]) -> Plan:
        """Return the plan of these cells alone."""
        return dataclasses.replace(self, cell_ids=tuple(one for one in self.cell_ids if one in cell_ids))


def read_plan(folder: Path) -> Plan:
    """Read `plan.json`; what it does not hold is empty.

    Raises:
        ResultsError: the file is there and cannot be read.
    """
    path = folder / PLAN
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Plan()
    except (OSError, ValueError, RecursionError) as e:  # the last: nested too deeply
        raise ResultsError(f"{path}: cannot be read ({e}); run the experiment again, which rewrites it") from None
    if not isinstance(said, dict):
        return Plan()
    cells = said.get("cells")
    return Plan(
        question=str(said.get("question") or ""),
        source=str(said.get("source") or ""),
        toml=str(said.get("toml") or ""),
        command=str(said.get("command") or ""),
        cell_ids=tuple(map(_id_of, cells)) if isinstance(cells, list) else (),
        cells=tuple(cell for cell in cells if isinstance(cell, dict)) if isinstance(cells, list) else (),
    )


def _points(matrix: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every point of every axis as a table of fields."""
    for axis, points in matrix.items():
        yield from (point if isinstance(point, dict) else {axis: point} for point in points)


def _id_of(cell: object) -> str | None:
    found = cell.get("cell_id") if isinstance(cell, dict) else None
    return found if isinstance(found, str) else None
