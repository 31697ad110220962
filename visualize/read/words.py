"""Values of cells, and counts with their nouns, as text."""

from __future__ import annotations

import pandas as pd


def count(n: int, one: str, many: str) -> str:
    """Return `1 seed` or `3 seeds`."""
    return f"{n:,} {one if n == 1 else many}"


def words_of(column: pd.Series) -> pd.Series:
    """Return values as they are written in a selection: true, fp32, crop+flip; `none` for what is unset."""
    words = column.astype(object).where(column.notna(), "none").astype(str).str.replace(", ", "+")
    return words.str.lower() if column.dtype == bool else words
