"""What `--plan` prints: the plan in words, with the memory that a process predicts and the layers that one finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ampbench.bench.launch.kept import kept
from ampbench.bench.launch.shown.company import in_plan
from ampbench.bench.launch.shown.layer_table import layer_tables
from ampbench.bench.launch.shown.prediction import predict_memory
from ampbench.bench.machine.discovery import choose_boards, find_boards, notes_on
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.dry_run import outline
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.rounds import timing_id, with_rounds
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.rounds import read_rounds


def dry_run(
    plan: Plan,
    cells: Sequence[Cell],
    results: Path | None,
    *,
    gpus: str | None,
    predict: bool = False,
    summary: bool = False,
    exclusive: bool = False,
    again: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the lines; run nothing.

    Args:
        plan: the whole of it.
        cells: those chosen on the command line.
        results: as in `Options`.
        gpus: as `--gpus`; None where cells run elsewhere, and this machine's boards are none of the plan's.
        predict: whether every cell's peak memory is predicted.
        summary: whether every network is shown layer by layer.
        exclusive: as `--exclusive`.
        again: statuses of which a record is replaced.

    Raises:
        RequestError: there is no such board or status, the folder is another experiment's, or a process that loads
            torch ended before its time.
    """
    folder = Folder.of(plan, results)
    if plan.experiment.protocol.is_adaptive:  # with the rounds that earlier looks have added
        chosen = {timing_id(cell) for cell in cells}
        plan = with_rounds(plan, read_rounds(folder))
        cells = [cell for cell in plan.cells if timing_id(cell) in chosen]
    done, cell_s = kept(plan.cells, folder, again), folder.stamp()["cell_s"]
    predicted = None
    if predict:
        predicted = predict_memory(cells, lambda line: print(line, file=sys.stderr, flush=True))
    yield from outline(plan, cells, done=done, cell_s=cell_s, predicted=predicted)
    if gpus is not None:
        boards = replace(choose_boards(find_boards(os.environ), gpus), exclusive=exclusive)
        yield from notes_on(os.environ, boards)
        yield from in_plan(folder.path, boards)
    if summary:
        for lines in layer_tables(cells):
            yield ""
            yield from lines
