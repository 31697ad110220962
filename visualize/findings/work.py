"""What limits the steps of each recipe, and how much of the board they use: a row for each recipe."""

from __future__ import annotations

import pandas as pd

from ampbench.schema.work import KINDS
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

PARTS = tuple(kind.name for kind in KINDS)
"""Columns of the time of a step by kind of work, in ms."""
MEDIANS = (
    "step_ms",
    *PARTS,
    "kernel_ms",
    "matmul_conv_share",
    "tflops",
    "mfu_measured",
    "measured_peak_tflops",
    "mfu_vendor",
    "vendor_peak_tflops",
    "joules_per_image",
)
"""Columns of which a row holds the median over its processes."""
WORK = (*PARTS, "kernel_ms", "matmul_conv_share", "bound", "mfu_measured", "mfu_vendor", "num_invalid_blocks")
"""Columns of which a row has at least one, or else there is none."""


def rows_of(results: Results) -> pd.DataFrame:
    """Return one row per subject, batch size and recipe of which any of this was measured; what is unknown is NaN.

    Columns: subject, batch_size, recipe, `bound` (most frequent), those of MEDIANS, and num_invalid_blocks (the sum).
    """
    rows = []
    ok = results.ok
    for (subject, batch_size), own in ok.groupby(["subject", "batch_size"], sort=False):
        for recipe in in_order(own["recipe"]):
            cells = own[own["recipe"] == recipe]
            if any(len(_known(cells, column)) for column in WORK):
                rows.append({"subject": subject, "batch_size": batch_size, "recipe": recipe} | _measured(cells))
    found = pd.DataFrame(rows, columns=["subject", "batch_size", "recipe", "bound", *MEDIANS, "num_invalid_blocks"])
    places = {subject: i for i, subject in enumerate(results.subjects)}
    by = found["subject"].map(places)
    return found.assign(place=by).sort_values(["place", "batch_size"], kind="stable").drop(columns="place")


def _measured(cells: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = {"bound": next(iter(_known(cells, "bound").mode()), None)}
    row |= {name: _known(cells, name).median() for name in MEDIANS}
    return row | {"num_invalid_blocks": _known(cells, "num_invalid_blocks").sum(min_count=1)}


def _known(cells: pd.DataFrame, column: str) -> pd.Series:
    return cells[column].dropna() if column in cells else pd.Series(dtype=float)
