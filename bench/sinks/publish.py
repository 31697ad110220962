"""Which runs a sink is told of after a matrix: those of this time, and earlier ones that it has missed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ampbench.bench.plan.cell import Cell
from ampbench.bench.sinks.logged import Mark
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.store.folder import Folder


def publish_finished(
    names: Iterable[str], folder: Folder, cells: Sequence[Cell], fresh: Sequence[Cell], *, project: str = ""
) -> Iterator[str]:
    """Tell sinks of the finished cells that were run now, or never logged there; yield what has become of each."""
    done, ids = folder.done(cells), {cell.cell_id for cell in fresh}
    for name in names:
        runs = [
            cell.run_folder
            for cell in cells
            if cell.cell_id in done and (cell.cell_id in ids or not Mark.read(folder.path, name, cell.run_folder))
        ]
        yield SINKS[name].publish(folder.path, runs, project=project)
