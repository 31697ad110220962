"""The foot of every sheet: how many processes each number rests on, on which machine, by which method."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.words import count


def foot(panels: Collection[Results]) -> str:
    """Return the foot of a sheet with these panels: `n = 3 each · AMD EPYC · torch 2.11 · method 4`."""
    cells = pd.concat([panel.ok for panel in panels]).drop_duplicates("cell_id")
    if cells.empty:
        return "no cell ran to its end"
    n = cells.groupby(["subject", "batch_size", "recipe"], observed=True).size()
    each = f"n = {n.min()} each" if n.min() == n.max() else f"n = {n.min()} to {n.max()}"
    return " · ".join([
        f"{each} ({count(len(cells), 'process', 'processes')})",
        *_some(cells["machine"]),
        *(f"torch {version}" for version in _some(cells["torch"])),
        *(f"method {float(version):.0f}" for version in _some(cells["method_version"])),
    ])  # fmt: skip


def _some(column: pd.Series) -> list[str]:
    """Return the value of a column, or how many there are."""
    values = [str(value) for value in column.dropna().unique()]
    return values if len(values) <= 1 else [f"{values[0]} and {len(values) - 1} more"]
