"""The tables of several results folders as those of one: an answer that rests on several experiments is read from it.

results/advise-LeNet/speed/      rounds of timing
results/advise-LeNet/start/      short trainings of some of the same recipes
results/advise-LeNet/            the tables of both
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.matrix import Plan
from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.tables import TABLES, schema
from ampbench.schema.files import SUMMARY, table_file


def merge(plans: Sequence[Plan], parts: Sequence[Folder], into: Path, *, question: str, command: str) -> None:
    """Write the joined tables of `parts`, and a plan of all their cells, into a folder that has no runs of its own.

    A cell that stands in several parts is taken from the last of them, with all its traces. Tables of a part that was
    never joined count as empty.

    Args:
        plans: of the parts, each as far as it was run; the file of the last one stands for all.
        parts: the folders, in the same order.
        into: the folder to write to.
        question: that all of them answer together.
        command: that a person typed.
    """
    cells = {cell.cell_id: cell for plan in plans for cell in plan.cells}
    experiment = replace(plans[-1].experiment, question=question)
    whole = Folder(path=into)
    with whole.lock():
        owner = _owners(parts)
        for table in TABLES:
            tables = [_rows(part, table, {one for one, place in owner.items() if place == part}) for part in parts]
            with replacing(into / table_file(table)) as partial:
                pq.write_table(pa.concat_tables(tables), partial, compression="zstd")
        for summary in into.glob(f"{Path(SUMMARY).stem}*.txt"):
            summary.unlink(missing_ok=True)  # it describes other rows
        of_all = Plan(experiment=experiment, cells=tuple(cells.values()), excluded=())
        whole.write_plan(of_all, command=command, git_commit=None, git_dirty=None)


def _owners(parts: Sequence[Folder]) -> dict[str, Folder]:
    """Return cell id -> the last folder that has its row."""
    return {
        cell_id: part
        for part in parts
        for cell_id in _read(part, "cells").column("cell_id").to_pylist()
    }  # fmt: skip


def _rows(part: Folder, table: str, cell_ids: set[str]) -> pa.Table:
    found = _read(part, table)
    return found.filter(pa.compute.is_in(found["cell_id"], value_set=pa.array(sorted(cell_ids), pa.string())))


def _read(part: Folder, table: str) -> pa.Table:
    """Return a joined table, in the order and with the labels of this version; without rows where there is none."""
    path, columns = part.path / table_file(table), schema(table)
    return pq.read_table(path, schema=columns) if path.exists() else columns.empty_table()
