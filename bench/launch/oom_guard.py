"""What one observed out-of-memory implies: the same cell with a larger batch, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ampbench.bench.plan.cell import Cell

IRRELEVANT = ("batch_size", "seed", "round", "epochs", "learning_rate")
"""Fields that do not change the memory of a step, and the batch size, which only adds to it."""

OBSERVED = "out of memory at"
"""How the reason of an observed one begins; implied ones are never evidence for further ones."""


class OomGuard:
    """Remembers the smallest batch size that ran out of memory. OOM is never retried under another batch size."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        """`rows` of earlier cells, with their settings, status and because."""
        self._smallest: dict[str, int] = {}
        for row in rows:
            if row["status"] == "oom" and str(row["because"]).startswith(OBSERVED):
                self._remember(row)

    def observe(self, cell: Cell, status: str | None) -> None:
        """Take in how a cell ended."""
        if status == "oom":
            self._remember(cell.settings)

    def implies(self, cell: Cell) -> str | None:
        """Return why this cell would run out of memory, or None if it must be tried."""
        smallest = self._smallest.get(_key(cell.settings))
        if smallest is None or cell.batch_size < smallest:
            return None
        return f"not tried: batch size {smallest} ran out of memory, and {cell.batch_size} needs no less"

    def _remember(self, settings: Mapping[str, Any]) -> None:
        key = _key(settings)
        self._smallest[key] = min(settings["batch_size"], self._smallest.get(key, settings["batch_size"]))


def _key(settings: Mapping[str, Any]) -> str:
    fields = Cell.__dataclass_fields__.keys() - set(IRRELEVANT)
    return repr(sorted((name, settings[name]) for name in fields))
