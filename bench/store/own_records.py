"""What one run left on disk, as the rules of diagnosis read it; read without pandas, from the run's own folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.schema.diagnosis import Records
from ampbench.schema.files import table_file


def records_of_run(folder: Path, cell: Mapping[str, Any]) -> Records:
    """Return the records of the run in a folder, of whose table `cells` the row is given."""
    epochs = sorted(_rows(folder, "epochs"), key=lambda row: row["epoch"])
    share, step = _last_share(_rows(folder, "layers"))
    return Records(cell=cell, epochs=epochs, unmoved_share=share, unmoved_step=step)


def _rows(folder: Path, table: str) -> list[dict[str, Any]]:
    """Return the rows of a run's table; none where it is missing or damaged, which costs only what rests on it."""
    try:
        rows: list[dict[str, Any]] = pq.read_table(folder / table_file(table)).to_pylist()
    except (OSError, pa.ArrowException, ValueError):
        return []
    return rows


def _last_share(layers: Sequence[Mapping[str, Any]]) -> tuple[float | None, int | None]:
    """Return the share of the weights that the step of the last sample left unchanged, and the steps before it.

    It is the mean over the layers, weighted by their size, as in `visualize/read/layers.py`.
    """
    found: dict[tuple[int, str], dict[str, float]] = {}
    for row in layers:
        if row["tensor"] == "gradient":
            found.setdefault((row["step"], row["layer"]), {})[row["quantity"]] = row["value"]
    known = {key: values for key, values in found.items() if {"unmoved_share", "num_entries"} <= values.keys()}
    if not known:
        return None, None
    last = max(step for step, _ in known)
    own = [values for (step, _), values in known.items() if step == last]
    total = sum(values["num_entries"] for values in own)
    return sum(values["unmoved_share"] * values["num_entries"] for values in own) / total, last
