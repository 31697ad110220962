"""Values of cells, and counts with their nouns, as text."""

from __future__ import annotations

import pandas as pd


def count(n: int, one: str, many: str) -> str:
    """Return `1 seed` or `3 seeds`."""
    return f"{n:,} {one if n == 1 else many}"


def words_of(column: pd.Series) -> pd.Series:
    """Return values as they are written in a selection: true, fp32, crop+flip; `none` for what is unset."""
    words = [
        "none" if unset else str(value).replace(", ", "+") for value, unset in zip(column, column.isna(), strict=True)
    ]
    if column.dtype == bool:
        words = [word.lower() for word in words]
    return pd.Series(words, column.index, dtype=str, name=column.name)
