"""How cells ended earlier, and what that means now: which are run again, and which are kept though they went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ampbench.bench.launch.kept import refuse_unknown
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join, joined_rows

MENDABLE = ("failed", "crashed", "timeout")
"""Endings that a person may have mended the cause of."""


def cells_to_run(plan: Plan, cells: Sequence[Cell], folder: Folder, again: Sequence[str]) -> list[Cell]:
    """Return those of `cells` without a record, and those whose record has one of the statuses `again`, in order.

    Raises:
        RequestError: there is no such status.
    """
    refuse_unknown(again)
    done = folder.done(cells)
    ids = {cell.cell_id for cell in cells if cell.cell_id not in done}
    if again and done:
        join(plan, folder)
        ids |= {row["cell_id"] for row in joined_rows(folder, ["cell_id"], statuses=again)}
    return [cell for cell in cells if cell.cell_id in ids]


def reminders(folder: Folder, cells: Sequence[Cell], fresh: Sequence[Cell]) -> Iterator[str]:
    """Yield a line if cells that went wrong before this run were kept: the cause may have been mended since."""
    kept = {cell.cell_id for cell in cells} - {cell.cell_id for cell in fresh}
    rows = joined_rows(folder, ["cell_id", "status"], statuses=MENDABLE) if kept else []
    wrong = Counter(row["status"] for row in rows if row["cell_id"] in kept)
    if wrong:
        counted = " and ".join(f"{count} {status}" for status, count in sorted(wrong.items()))
        yield f"Kept from earlier: {counted}. Their cause is mended? Add --again {','.join(sorted(wrong))}"
