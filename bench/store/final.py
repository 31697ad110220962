"""What a training, or weights that it left, came to on the test set: the few lines in which study S0 ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.store.atomic import RECORD

MEASURED = {
    "Mean loss": "test_loss",
    "Accuracy": "test_accuracy",
    "Macro precision": "macro_precision",
    "Macro recall": "macro_recall",
    "Macro F1": "macro_f1",
}
"""What is said -> the column it is said of; shares in [0, 1]."""


def final_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Say how many images were evaluated and what came of it, from the columns of a record, with 4 decimals."""
    yield f"Total samples: {found['num_test_images']}"
    for words, column in MEASURED.items():
        yield f"{words}: {found[column]:.4f}"


def lines_of_run(folder: Path) -> list[str]:
    """Say that of the run in a folder; nothing of one that was only timed, or did not come to its end."""
    try:
        row = pq.read_table(folder / RECORD, columns=["status", "num_test_images", *MEASURED.values()]).to_pylist()[0]
    except (OSError, pa.ArrowInvalid):
        return []
    known = row["status"] == "ok" and all(value is not None for value in row.values())
    return list(final_lines(row)) if known else []
