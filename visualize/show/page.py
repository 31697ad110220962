"""What the page's main table and its list of facts are made of."""

from __future__ import annotations

import pandas as pd

from ampbench.visualize.read.frame import Results
from ampbench.visualize.show import table

# fmt: off
FACTS = (
    "machine", "cpu", "num_cores", "threads_used", "driver", "cuda", "cudnn", "power_cap_w", "torch", "python",
    "fp32_precision", "switches", "git_commit", "git_dirty", "method_version", "environment_id",
)
# fmt: on
"""Columns that say where and with what the numbers were taken."""

HEADS = {
    "subject": "subject",
    "batch": "batch_size",
    "precision": "recipe",
    "n": "n",
    "images/s": "images_per_s",
    "speed-up": "speedup",
    "speed": "speed",
    "MiB": "steady_peak_mib",
    "test %": "test_accuracy",
    "accuracy": "accuracy",
}
"""Head of a column -> the value it is sorted by."""


def cells_of(row: pd.Series, colour: str, place: int) -> dict[str, object]:
    """Return a row of the page's table: what is shown, and what it is sorted by (recipes by their place)."""
    numbers = {head: "" if pd.isna(row[column]) else row[column] for head, column in HEADS.items()}
    return {
        "words": {"subject": row.subject} | table.shown(row),
        "numbers": numbers | {"precision": place},
        "colour": colour,
        "status": row.status,
        "because": row.because if isinstance(row.because, str) else "",
    }


def facts_of(results: Results) -> dict[str, str]:
    """Return label -> values of everything that says where and with what; unknown ones left out."""
    facts = {}
    for name in (name for name in FACTS if name in results.ok):
        values = results.ok[name].dropna().unique()
        if len(values):
            words = [
                f"{v:g}" if isinstance(v, float) else "yes" if v is True else "no" if v is False else str(v)
                for v in values
            ]
            facts[results.label(name)] = " / ".join(words)
    return facts
