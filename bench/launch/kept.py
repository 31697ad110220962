"""The records that a command leaves as they are: asked by a plan, which writes nothing and may have no Arrow."""

from __future__ import annotations

from collections.abc import Sequence

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.store.folder import Folder
from ampbench.schema.statuses import STATUSES


def kept(cells: Sequence[Cell], folder: Folder, again: Sequence[str]) -> set[str]:
    """Return the ids of the cells whose record stays.

    Args:
        cells: of a plan.
        folder: of their results.
        again: statuses of which a record is replaced.

    Raises:
        RequestError: there is no such status.
    """
    refuse_unknown(again)
    done = set(folder.done(cells))
    if not (again and done):
        return done
    from ampbench.bench.store.join import recorded_rows  # brings Arrow

    rows = recorded_rows(folder, [cell for cell in cells if cell.cell_id in done], ["status"])
    return done - {cell_id for cell_id, row in rows.items() if row["status"] in again}


def refuse_unknown(again: Sequence[str]) -> None:
    """Refuse a word that is no status.

    Raises:
        RequestError: with the nearest that is one.
    """
    for status in again:
        if status not in STATUSES:
            raise RequestError(f"--again {status}: no such status. {did_you_mean(status, STATUSES)}")
