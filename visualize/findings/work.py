"""What limits the steps of each recipe, and how much of the board they use: a row for each recipe."""

from __future__ import annotations

import pandas as pd

from ampbench.schema.work import KINDS
from ampbench.visualize.judge.runs.replicates import geometric_mean
from ampbench.visualize.read.frame import Results

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
"""Columns of which a row holds the median over its processes, but of `step_ms` and joules the mean of every table, and
of a part of the step its mean share of that: as in the explanation, parts sum to the step."""
WORK = (*PARTS, "kernel_ms", "matmul_conv_share", "bound", "mfu_measured", "mfu_vendor", "num_invalid_blocks")
"""Columns of which a row has at least one, or else there is none."""


def is_measured(results: Results) -> bool:
    """Whether any of this was measured of any cell that ran to its end."""
    return any(results.ok[name].notna().any() for name in WORK if name in results.ok)


def rows_of(results: Results) -> pd.DataFrame:
    """Return one row per subject, batch size and recipe of which any of this was measured; what is unknown is NaN.

    Columns: subject, batch_size, recipe, `bound` (most frequent), those of MEDIANS, and num_invalid_blocks (the sum).
    """
    keys = ["subject", "batch_size", "recipe"]
    cells = results.ok.reindex(columns=list(dict.fromkeys([*keys, *WORK, *MEDIANS])))
    cells = cells[cells[list(WORK)].notna().any(axis="columns")]
    cells["subject"] = pd.Categorical(cells["subject"], results.subjects)
    groups = cells.groupby(keys, observed=True)
    found = groups[list(MEDIANS)].median().astype(float)
    for name in ("step_ms", "joules_per_image"):
        found[name] = groups[name].agg(geometric_mean).astype(float)
    parts = cells[list(PARTS)].astype(float)
    shares = parts.div(parts.sum(axis=1), axis=0).groupby([cells[key] for key in keys], observed=True).mean()
    found[list(PARTS)] = shares.mul(found["step_ms"], axis=0)  # medians of parts would not sum to the step
    found.insert(0, "bound", groups["bound"].agg(lambda words: next(iter(words.mode()), None)))
    found["num_invalid_blocks"] = groups["num_invalid_blocks"].sum(min_count=1)
    return found.reset_index()
