"""The result of a training, or of weights that it kept, on the test set: the lines that study S0 prints at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.schema.column import columns_of, values_of
from ampbench.schema.files import RECORD
from ampbench.schema.learning import Evaluation

WORDS = {
    "test_loss": "Mean loss",
    "test_accuracy": "Accuracy",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
}
"""Column -> its words; shares in [0, 1]."""


def final_lines(found: Evaluation, num_images: int | None) -> Iterator[str]:
    """Say how many images were evaluated, and the results with 4 decimals."""
    yield f"Total samples: {num_images}"
    values = values_of(found)
    for column, words in WORDS.items():
        yield f"{words}: {values[column]:.4f}"


def lines_of_run(folder: Path) -> list[str]:
    """Say the same of the run in a folder; nothing for a run that was only timed or did not end well."""
    names = [column.name for column in columns_of(Evaluation)]
    try:
        row = pq.read_table(folder / RECORD, columns=["status", "num_test_images", *names]).to_pylist()[0]
    except (OSError, pa.ArrowInvalid):
        return []
    known = row["status"] == "ok" and all(value is not None for value in row.values())
    found = Evaluation(**{name: row[name] for name in names})
    return list(final_lines(found, row["num_test_images"])) if known else []
