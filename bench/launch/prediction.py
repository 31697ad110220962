"""Predicted memory of a plan's cells, by a process that may load torch; this one does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence

from bench.plan.cell import Cell
from bench.plan.errors import RequestError
from bench.store.folder import ROOT

IRRELEVANT = ("seed", "round", "epochs", "learning_rate", "schedule", "warmup_epochs", "milestones", "weight_decay")
"""Fields that change no byte: cells that differ only in them are predicted once."""


def predict_memory(cells: Sequence[Cell], tell: Callable[[str], None]) -> dict[str, int | str]:
    """Return cell_id -> predicted peak in bytes, or in words why it cannot be predicted.

    Args:
        cells: in any order.
        tell: is given a line now and then, as each prediction takes about a second.

    Raises:
        RequestError: the predicting process ended before its time.
    """
    kinds: dict[str, list[Cell]] = {}
    for cell in cells:
        same = {k: v for k, v in cell.settings.items() if k not in IRRELEVANT}
        kinds.setdefault(repr(same), []).append(cell)
    first = [alike[0].to_json() for alike in kinds.values()]
    predicted: dict[str, int | str] = {}
    command = [sys.executable, "-m", "bench.worker.prediction"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(first))
        process.stdin.close()
        for i, (alike, line) in enumerate(zip(kinds.values(), process.stdout, strict=False), 1):
            said = json.loads(line)
            predicted |= {cell.cell_id: said.get("bytes", said.get("because")) for cell in alike}
            tell(f"predicting memory: {i} of {len(kinds)} kinds of cells")
    if process.returncode or len(predicted) < len(cells):
        raise RequestError(
            f"--predict: {' '.join(command)} ended with exit code {process.returncode} after {len(predicted)} of "
            f"{len(cells)} cells; its last words are above"
        )
    return predicted
