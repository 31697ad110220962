"""How cells ended earlier, and what that means now: which are run again, and which are kept though they went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.schema.statuses import STATUSES

MENDABLE = ("failed", "crashed", "timeout")
"""Endings that a person may have mended the cause of."""


def with_again(folder: Folder, cells: Sequence[Cell], todo: Sequence[Cell], again: Sequence[str]) -> list[Cell]:
    """Return `todo` and the cells whose joined record has one of the statuses, in the order of `cells`.

    Raises:
        RequestError: there is no such status.
    """
    for status in again:
        if status not in STATUSES:
            raise RequestError(f"--again {status}: no such status. {did_you_mean(status, STATUSES)}")
    statuses = {row["cell_id"]: row["status"] for row in joined_rows(folder, ["cell_id", "status"])}
    ids = {cell.cell_id for cell in todo}
    return [cell for cell in cells if cell.cell_id in ids or statuses.get(cell.cell_id) in again]


def reminder(folder: Folder, cells: Sequence[Cell], fresh: Sequence[Cell]) -> str | None:
    """Say that cells which went wrong before this run were kept, as after their cause was mended; None if none did."""
    kept = {cell.cell_id for cell in cells} - {cell.cell_id for cell in fresh}
    rows = joined_rows(folder, ["cell_id", "status"]) if kept else []
    wrong = Counter(row["status"] for row in rows if row["cell_id"] in kept and row["status"] in MENDABLE)
    if not wrong:
        return None
    counted = " and ".join(f"{count} {status}" for status, count in sorted(wrong.items()))
    return f"Kept from earlier: {counted}. Their cause is mended? Add --again {','.join(sorted(wrong))}"
