"""The summary: one row per subject, batch size and recipe, with its measurements and verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from ampbench.visualize.judge.replicates import Replicates, replicates_of
from ampbench.visualize.judge.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

# fmt: off
COLUMNS = [
    "subject", "batch_size", "recipe", "status", "because", "num_cells", "n", "images_per_s", "images_per_s_low",
    "images_per_s_high", "speedup", "speedup_low", "speedup_high", "speed", "steady_peak_mib", "test_accuracy",
    "test_accuracy_sd", "chance", "accuracy",
]
# fmt: on
"""Columns of the summary as a frame: those of `Replicates`, and those of the comparison with the reference."""

REFERENCE = "reference"
"""In place of a verdict, for the recipe that the others are compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryRow:
    """One recipe of one subject and batch size."""

    subject: str
    batch_size: int
    recipe: str
    measured: Replicates
    verdict: Verdict | None
    """Against the reference; None for the reference itself, and for a recipe without a comparison."""
    is_reference: bool

    @property
    def speedup(self) -> float | None:
        """Over the reference; None without a pair."""
        return self.verdict.speed.estimate if self.verdict and self.verdict.speed.n else None

    @property
    def speedup_interval(self) -> tuple[float, float] | None:
        """At 95 %, widened over the family of comparisons; None with fewer than two pairs."""
        speed = self.verdict.speed if self.verdict else None
        return (speed.low, speed.high) if speed and speed.n > 1 else None

    @property
    def speed(self) -> str | None:
        """The verdict on the speed, or `reference`."""
        return self.verdict.speed.verdict if self.verdict else REFERENCE if self.is_reference else None

    @property
    def accuracy(self) -> str | None:
        """The verdict on the accuracy, or `reference`; None where accuracy was not measured."""
        if self.verdict:
            return self.verdict.accuracy.verdict if self.verdict.accuracy else None
        return REFERENCE if self.is_reference and self.measured.test_accuracy is not None else None

    @property
    def values(self) -> dict[str, object]:
        """Column of `COLUMNS` -> its value."""
        low, high = self.speedup_interval or (None, None)
        return {
            "subject": self.subject,
            "batch_size": self.batch_size,
            "recipe": self.recipe,
            **dataclasses.asdict(self.measured),
            "speedup": self.speedup,
            "speedup_low": low,
            "speedup_high": high,
            "speed": self.speed,
            "accuracy": self.accuracy,
        }


def summary(results: Results, verdicts: Sequence[Verdict]) -> list[SummaryRow]:
    """Return a row for every subject, batch size and recipe, even if no cell of it ran to its end."""
    judged = {(v.subject, v.batch_size, v.recipe): v for v in verdicts}
    references = {(v.subject, v.batch_size): v.reference for v in verdicts}
    return [
        SummaryRow(
            subject=subject,
            batch_size=batch_size,
            recipe=recipe,
            measured=replicates_of(own[own["recipe"] == recipe]),
            verdict=judged.get((subject, batch_size, recipe)),
            is_reference=references.get((subject, batch_size)) == recipe,
        )
        for subject in results.subjects
        for batch_size, own in _by_batch_size(results.cells[results.cells["subject"] == subject])
        for recipe in in_order(own["recipe"])
    ]


def frame_of(rows: Iterable[SummaryRow]) -> pd.DataFrame:
    """Return the summary as a tidy frame, to sort and select; NaN or None where nothing was measured."""
    return pd.DataFrame([row.values for row in rows], columns=COLUMNS)


def _by_batch_size(cells: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    return [(int(str(size)), own) for size, own in cells.groupby("batch_size")]
