"""What one observed out-of-memory implies: the same cell with a larger batch, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.step_memory import step_memory_key
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows

OBSERVED = "out of memory at"
"""How the reason of an observed one begins; implied ones are never evidence for further ones."""

NOT_TRIED = "not tried:"
"""How the reason of an implied one begins."""


class OomGuard:
    """Remembers the smallest batch size that ran out of memory. OOM is never retried under another batch size."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """`rows` of earlier cells, with their settings, status and because."""
        self._smallest: dict[tuple[str, bool], int] = {}
        for row in rows:
            if row["status"] == "oom" and str(row["because"]).startswith(OBSERVED):
                self._remember(row)

    @classmethod
    def knowing(cls, folder: Folder, *, replaced: Sequence[Cell]) -> OomGuard:
        """Return one that knows the joined rows of a folder, those of cells that are replaced aside."""
        return cls(_rows(folder, replaced))

    @classmethod
    def of_kinds(cls, folder: Folder, kinds: Iterable[str], *, replaced: Collection[str]) -> dict[str, OomGuard]:
        """Return kind -> guard that knows its rows alone: what fills a small board tells nothing of a large one.

        Args:
            folder: of the results, joined.
            kinds: environments, as `environment_id` says them.
            replaced: ids of cells whose rows are left aside.
        """
        rows = [row for row in _rows(folder) if row["cell_id"] not in replaced]
        return {kind: cls(row for row in rows if row["environment_id"] == kind) for kind in kinds}

    def observe(self, cell: Cell, status: str | None) -> None:
        """Take in how a cell ended."""
        if status == "oom":
            self._remember(cell.settings)

    def implies(self, cell: Cell) -> str | None:
        """Return why this cell would run out of memory, or None if it must be tried."""
        smallest = self._smallest.get(_key(cell.settings)) if self._smallest else None
        if smallest is None or cell.batch_size < smallest:
            return None
        return f"{NOT_TRIED} batch size {smallest} ran out of memory, and {cell.batch_size} needs no less"

    def _remember(self, settings: Mapping[str, Any]) -> None:
        key = _key(settings)
        self._smallest[key] = min(settings["batch_size"], self._smallest.get(key, settings["batch_size"]))


def _rows(folder: Folder, replaced: Sequence[Cell] = ()) -> Iterator[dict[str, Any]]:
    ids = {cell.cell_id for cell in replaced}
    columns = ["cell_id", "environment_id", "status", "because", *Cell.__dataclass_fields__]
    return (row for row in joined_rows(folder, columns, statuses=["oom"]) if row["cell_id"] not in ids)


def _key(settings: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what cells must share for one to tell of the other: the step, and whether there are evaluations, too."""
    return step_memory_key(settings, without=("batch_size",)), settings["epochs"] > 0
