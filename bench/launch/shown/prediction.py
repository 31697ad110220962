"""Predicted memory of a plan's cells, by a process that may load torch; this one does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.step_memory import step_memory_key
from ampbench.path import for_children


def predict_memory(cells: Sequence[Cell], tell: Callable[[str], None]) -> dict[str, int | str]:
    """Return cell_id -> predicted peak in bytes, or in words why it cannot be predicted.

    Args:
        cells: in any order.
        tell: is given a line now and then, as each prediction takes about a second.
    """
    kinds: dict[str, list[Cell]] = {}
    for cell in cells:
        kinds.setdefault(step_memory_key(cell.settings), []).append(cell)
    alike = list(kinds.values())
    predicted: dict[str, int | str] = {}
    num_told = 0
    while num_told < len(alike):
        for said in _answers([some[0] for some in alike[num_told:]]):
            predicted |= {cell.cell_id: said for cell in alike[num_told]}
            num_told += 1
            tell(f"predicting memory: {num_told} of {len(alike)} kinds of cells")
    return predicted


def _answers(cells: Sequence[Cell]) -> Iterator[int | str]:
    """Yield an answer for each cell, up to one whose model ends the process that it is built in."""
    command = [sys.executable, "-P", "-m", "ampbench.bench.worker.passes.prediction"]
    environ, pipe, num_answers = os.environ | {"PYTHONPATH": for_children()}, subprocess.PIPE, 0
    with subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps([cell.to_json() for cell in cells]))
                process.stdin.close()
            for line in process.stdout:
                said = json.loads(line)
                num_answers += 1
                yield said.get("bytes", said.get("because"))
        except BaseException:  # nobody reads on: it would build the next networks, and fail to tell
            process.kill()
            raise
    if num_answers < len(cells):
        yield f"the model ended the process that it was built in (exit code {process.returncode})"
