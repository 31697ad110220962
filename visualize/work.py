"""What the recipes' steps wait for and what they use of the board, in sentences."""

from __future__ import annotations

import pandas as pd

from visualize.frame import Results
from visualize.theme import order

Facts = dict[str, str]


def findings(results: Results) -> list[str]:
    """Return a sentence a subject and batch size; none where nothing was looked at."""
    sentences = []
    for subject in results.subjects:
        for batch_size in results.where(subject=subject).batch_sizes:
            ok = results.where(subject=subject, batch_size=batch_size).ok
            told = {recipe: words_of(ok[ok["recipe"] == recipe]) for recipe in order(ok["recipe"])}
            parts = [f"{recipe} {words}" for recipe, words in told.items() if words]
            if parts:
                sentences.append(f"{subject} at batch {batch_size}: {'; '.join(parts)}.")
    return sentences


def words_of(cells: pd.DataFrame) -> str:
    """Say what bounds the steps of a recipe, its share of the peaks and its energy an image; empty if unknown."""
    parts = []
    labels = _known(cells, "bound")
    if len(labels):
        label = labels.mode().iloc[0]
        because = cells.loc[cells["bound"] == label, "bound_because"].iloc[0]
        parts.append(f"is {label}-bound ({because})")
    for column, what in (("mfu_measured", "the measured"), ("mfu_vendor", "the vendor's")):
        share = _known(cells, column)
        if len(share):
            peak = _known(cells, column.replace("mfu_", "") + "_peak_tflops").median()
            parts.append(f"reaches {share.median():.0%} of {what} peak of {peak:,.3g} TFLOP/s")
    joules = _known(cells, "joules_per_image")
    if len(joules):
        parts.append(f"takes {1e3 * joules.median():,.3g} mJ an image")
    spoilt = _known(cells, "num_invalid_blocks").sum()
    if spoilt:
        parts.append(f"lost {spoilt:.0f} blocks to the board's slowdowns")
    return ", ".join(parts)


def _known(cells: pd.DataFrame, column: str) -> pd.Series:
    return cells[column].dropna() if column in cells else pd.Series(dtype=float)
