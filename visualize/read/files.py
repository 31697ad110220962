"""Read the files of a folder of results, or raise an error of one line that ends with what to do next."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.schema.files import STAMP, table_file
from ampbench.schema.renames import refusal

# fmt: off
NEEDED: dict[str, tuple[str, ...]] = {
    "cells": (
        "cell_id", "group_id", "status", "because", "model", "data", "precision", "batch_size", "seed", "round",
        "epochs", "loss_scale", "images_per_s", "memory_instrument", "startup_peak_bytes", "steady_peak_bytes",
        "test_accuracy", "num_test_images", "environment_id", "machine", "torch", "method_version", "compute_dtype",
        "baseline_bytes", "final_loss_scale", "data_ms", "forward_ms", "backward_ms", "update_ms",
    ),
    "epochs": ("cell_id", "epoch", "test_accuracy", "train_loss", "learning_rate"),
    "steps": ("cell_id", "step", "loss", "loss_scale_factor", "skipped"),
    "blocks": ("cell_id", "block", "images_per_s", "steady"),
    "layers": ("cell_id", "step", "epoch", "depth", "layer", "tensor", "quantity", "value"),
    "allocations": ("cell_id", "moment", "category", "call_site", "allocated_bytes"),
    "memory": ("cell_id", "event", "allocated_bytes"),
    "exponents": ("cell_id", "step", "epoch", "layer", "tensor", "exponent", "count"),
    "board": ("cell_id", "time_s", "power_w", "sm_clock_mhz", "temperature_c"),
}
"""Columns that each file must have."""
WORDS = {
    "cell_id", "group_id", "status", "because", "model", "data", "precision", "loss_scale", "memory_instrument",
    "environment_id", "machine", "torch", "compute_dtype", "layer", "tensor", "quantity", "moment", "category",
    "call_site",
}
"""The columns of `NEEDED` that hold text; the others hold numbers."""
# fmt: on


REJOINS = "run the experiment again to rejoin it from runs/"
"""What to do about a joined table that is missing or does not match the cells."""

NO_CELLS = "holds no cells; run the experiment first"
TAKEN_AWAY = f"was taken away while it was read; {REJOINS}"


class ResultsError(ValueError):
    """The results cannot be read or compared. The message is one line that ends with what to do next."""


def read_table(folder: Path, name: str, *, only: str | None = None) -> pa.Table:
    """Read one file; a missing file gives a table without rows.

    Raises:
        ResultsError: the file is damaged, lacks a column of `NEEDED`, or holds text in a column of numbers; or its
            columns have the names of another version (for `cells`, the columns of any file).
    """
    path = folder / table_file(name)
    for table in NEEDED if name == "cells" else (name,):
        _refuse_other_names(folder, table)
    if not path.exists():
        return pa.table({column: pa.array([], _empty_type(column)) for column in NEEDED[name]})
    schema = _schema(path)
    # Ids repeat for every step of a run: read as a dictionary, each row costs one code instead of a string.
    words = [] if name == "cells" else [f.name for f in schema if pa.types.is_string(f.type)]
    try:
        table = pq.read_table(path, columns=only and [only], read_dictionary=words, memory_map=True)
    except (pa.ArrowException, OSError) as e:
        raise _damaged(path, e) from None
    lacking = [column for column in NEEDED[name] if column not in schema.names]
    if lacking:
        raise ResultsError(
            f"{path}: lacks the column {', '.join(lacking)}; it was written by something else or an older ampbench: "
            "run the experiment again"
        )
    for column in map(schema.field, NEEDED[name]):
        if (column.name in WORDS) != _is_text(column.type) and not pa.types.is_null(column.type):
            wanted = "text" if column.name in WORDS else "numbers"
            raise ResultsError(
                f"{path}: the column {column.name} holds {column.type}, not {wanted}; it was written by "
                "something else or a newer ampbench: update ampbench or run the experiment again"
            )
    return table


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as a frame, dictionaries as categories, without a second copy of the numbers."""
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas(split_blocks=True, self_destruct=True)
    return frame


def read_labels(folder: Path) -> dict[str, tuple[str, str]]:
    """Return column -> label and unit over all files; for a column in several, the cells count."""
    labels = {}
    for path in (folder / table_file(name) for name in reversed(NEEDED)):
        for f in _schema(path) if path.exists() else ():
            meta = f.metadata or {}
            labels[f.name] = (meta.get(b"label", f.name.encode()).decode(), meta.get(b"unit", b"").decode())
    return labels


def missing(folder: Path, cell_ids: Collection[str], expected: Collection[str]) -> list[str]:
    """Return what is missing in the tables of the cells' traces, one sentence each, without its full stop.

    Args:
        folder: of results.
        cell_ids: the ids in cells.parquet.
        expected: tables in which these cells must have rows.
    """
    found = [f"{folder / file}: {reason}" for file, reason in _left_out(folder).items()]
    for name in (name for name in NEEDED if name != "cells"):
        path = folder / table_file(name)
        if not path.exists():
            if name in expected:
                found.append(f"{path}: is missing, so nothing is drawn from it; {REJOINS}")
            continue
        try:
            ids = read_table(folder, name, only="cell_id")["cell_id"].unique().to_pylist()
        except ResultsError as e:
            found.append(str(e))
            continue
        foreign = sum(cell_id not in cell_ids for cell_id in ids)
        if foreign:
            whose = f"{foreign} cell{'s' * (foreign != 1)} that cells.parquet does not hold"
            found.append(f"{path}: rows of {whose} are left out; {REJOINS}")
    return found


def _left_out(folder: Path) -> dict[str, str]:
    """Return the files of runs that were left out when the tables were joined, and why."""
    try:
        said = json.loads((folder / STAMP).read_text(encoding="utf-8"))["damaged"]
        return {str(file): str(reason) for file, reason in said.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _refuse_other_names(folder: Path, name: str) -> None:
    """Raise if the columns of a table have the names of another version; a damaged file is not reported here."""
    with suppress(pa.ArrowException, OSError):
        because = refusal(folder, name, pq.read_schema(folder / table_file(name)))
        if because:
            raise ResultsError(because)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as e:
        raise _damaged(path, e) from None


def _damaged(path: Path, error: Exception) -> ResultsError:
    if isinstance(error, FileNotFoundError):
        return ResultsError(f"{path}: {TAKEN_AWAY}")
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
    return ResultsError(
        f"{path}: is damaged or not a Parquet file ({reason}); delete it and run the experiment again, which rejoins "
        "it from runs/"
    )


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _empty_type(column: str) -> pa.DataType:
    words = ("cell_id", "layer", "tensor", "quantity")
    return pa.dictionary(pa.int32(), pa.string()) if column in words else pa.float64()
