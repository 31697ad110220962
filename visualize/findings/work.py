"""Sentences about what limits the steps of each recipe, and how much of the board they use."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

SHARE = re.compile(r"\d+%")
"""The percentage in the evidence for a bound."""


def findings(results: Results) -> list[str]:
    """Return a sentence per subject and batch size; none where none of this was measured."""
    sentences = []
    for subject in results.subjects:
        for batch_size in results.where(subject=subject).batch_sizes:
            ok = results.where(subject=subject, batch_size=batch_size).ok
            by_recipe = {recipe: ok[ok["recipe"] == recipe] for recipe in in_order(ok["recipe"])}
            parts = bounds(by_recipe)
            parts += [f"{recipe} {words}" for recipe, cells in by_recipe.items() if (words := use_of(cells))]
            if parts:
                sentences.append(f"{subject} at batch {batch_size}: {'; '.join(parts)}.")
    return sentences


def bounds(by_recipe: Mapping[str, pd.DataFrame]) -> list[str]:
    """Say what limits the steps of each recipe; recipes with the same bound and kind of evidence share a clause."""
    clauses: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for recipe, cells in by_recipe.items():
        labels = _known(cells, "bound")
        if len(labels):
            label = labels.mode().iloc[0]
            because = cells.loc[cells["bound"] == label, "bound_because"].iloc[0]
            share = SHARE.search(because)
            kind = SHARE.sub("{}", because, count=1)
            clauses.setdefault((label, kind), []).append((recipe, share.group() if share else ""))
    return [
        f"{', '.join(recipe for recipe, _ in own)} {'is' if len(own) == 1 else 'are'} {label}-bound "
        f"({kind.format(', '.join(share for _, share in own))})"
        for (label, kind), own in clauses.items()
    ]


def use_of(cells: pd.DataFrame) -> str:
    """Say a recipe's share of the peaks and its energy per image; empty if unknown."""
    parts = []
    for column, what in (("mfu_measured", "the measured"), ("mfu_vendor", "the vendor's")):
        share = _known(cells, column)
        if len(share):
            peak = _known(cells, column.replace("mfu_", "") + "_peak_tflops").median()
            parts.append(f"reaches {share.median():.0%} of {what} peak of {peak:,.3g} TFLOP/s")
    joules = _known(cells, "joules_per_image")
    if len(joules):
        parts.append(f"takes {1e3 * joules.median():,.3g} mJ per image")
    invalid = _known(cells, "num_invalid_blocks").sum()
    if invalid:
        parts.append(f"lost {invalid:.0f} blocks because the board slowed down")
    return ", ".join(parts)


def _known(cells: pd.DataFrame, column: str) -> pd.Series:
    return cells[column].dropna() if column in cells else pd.Series(dtype=float)
