"""The cells as a tidy frame with seven more columns, which all tables and figures use.

`recipe` is the precision, with the loss scale where one precision ran with several. `workload` is what was trained:
the model, and every other axis but batch size, precision, seed and round. `subject` is the workload and, where a
folder has several environments, in which of them it ran, named by `measured_on`: so nothing is compared across
machines. `family` is the subject without the learning rate. Cells of one subject, batch size and recipe are replicates
of each other; no other cells are. `peak_bytes` and `peak_instrument` are the peak memory and by what it was measured
(`peaks`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from ampbench.visualize.read.peaks import with_peaks
from ampbench.visualize.read.recipes import in_order

REPLICATED = ("seed", "round")
"""Settings that tell the processes of one cell apart; they are never compared."""
NAMED_APART = {"model", "batch_size", "precision", "loss_scale", *REPLICATED}
"""Settings that a workload does not name beside its model."""
# fmt: off
POSITIVE = (
    "images_per_s", "images_per_s_q1", "images_per_s_q3", "step_ms", "joules_per_image", "time_to_accuracy_s",
    "startup_peak_bytes", "steady_peak_bytes", "allocator_peak_bytes",
)
# fmt: on
"""Columns of which nothing was measured where a record holds no positive number of a size that exists."""
SMALLEST, LARGEST = 1e-30, 1e30
SHARES = (
    "test_accuracy",
    "best_test_accuracy",
    "train_accuracy",
    "macro_precision",
    "macro_recall",
    "macro_f1",
)
"""Columns of which nothing was measured where a record holds no number from 0 to 1."""


def tidy(table: pa.Table, environments: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the rows of cells.parquet with these columns; lists become words.

    Args:
        table: the rows.
        environments: cell -> the name of its environment, where the folder has several.
    """
    cells: pd.DataFrame = table.to_pandas()
    # No axis, mean or ratio can hold an infinite measurement. A column is written only where it changes: in a frame of
    # 200, each one costs as much as reading all of them.
    floats = cells.select_dtypes("floating")
    for name in floats.columns[np.isinf(floats.to_numpy()).any(axis=0)]:
        cells[name] = cells[name].replace([math.inf, -math.inf], math.nan)
    for names, least, most in ((POSITIVE, SMALLEST, LARGEST), (SHARES, 0.0, 1.0)):
        numbers = cells[[name for name in names if name in cells]].astype(float)
        for name in numbers.columns[((numbers < least) | (numbers > most)).any()]:
            cells[name] = cells[name].where(cells[name].between(least, most))
    for f in table.schema:
        if pa.types.is_list(f.type):
            cells[f.name] = [", ".join(map(str, v)) if v is not None else None for v in cells[f.name]]
    # If one precision ran with several loss scales (an axis of its own), each of them is a recipe of its own.
    scales = cells.groupby("precision")["loss_scale"].transform("nunique")
    recipe = cells["precision"].where(scales <= 1, cells["precision"] + " (" + cells["loss_scale"].astype(str) + ")")
    cells["recipe"] = pd.Categorical(recipe, in_order(recipe), ordered=True)
    # Most axes have one value: that is asked once, and of a column, not of its groups, in a hundredth of the time.
    asked = dict.fromkeys(["data", *settings(table.schema)])
    axes = [axis for axis in asked if axis not in NAMED_APART and cells[axis].nunique(dropna=False) > 1]
    measured_on = environments or {}
    cells["measured_on"] = [measured_on.get(cell_id, "") for cell_id in cells["cell_id"]]
    on = (" on " + cells["measured_on"]).where(cells["measured_on"] != "", "")
    cells["workload"] = _workloads(cells, axes)
    cells["subject"] = cells["workload"] + on
    cells["family"] = _workloads(cells, [axis for axis in axes if axis != "learning_rate"]) + on
    return with_peaks(cells)


def settings(schema: pa.Schema) -> list[str]:
    """Return the columns that are settings of a cell: their stored meaning begins with `Cell.`."""
    return [f.name for f in schema if (f.metadata or {}).get(b"meaning", b"").startswith(b"`Cell.")]


def _workloads(cells: pd.DataFrame, axes: Sequence[str]) -> pd.Series:
    """Name the model, and every one of these axes that varies at a fixed batch size."""
    named = cells["model"].astype(str)
    for axis in axes:
        beside = ["model", "batch_size"] if axis == "data" else ["model", "data", "batch_size"]
        if cells.groupby(beside)[axis].nunique(dropna=False).max() > 1:
            words = cells[axis].astype(object).where(cells[axis].notna(), "none")
            named = named + f", {axis} " + words.astype(str)
    return named
