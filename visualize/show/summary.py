"""The summary: one row per subject, batch size and recipe, with its measurements and verdicts."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ampbench.visualize.judge.decision.standing import Standing

# fmt: off
COLUMNS = [
    "subject", "batch_size", "recipe", "status", "because", "num_cells", "n", "images_per_s", "images_per_s_low",
    "images_per_s_high", "images_per_s_sd", "speedup", "speedup_low", "speedup_high", "speed", "peak_mib",
    "peak_instrument", "joules_per_image", "test_accuracy", "test_accuracy_sd", "chance", "accuracy", "evidence",
    "concerns",
]
# fmt: on
"""Columns of the summary as a frame: those of `Replicates`, and those of the comparison with the reference."""


def frame_of(rows: Iterable[Standing]) -> pd.DataFrame:
    """Return the summary as a tidy frame, to sort and select; NaN or None where nothing was measured."""
    return pd.DataFrame([row.values for row in rows], columns=COLUMNS)
