"""Where each recipe stands: its measurements, its verdicts, the evidence for it, and what spoils that."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ampbench.visualize.judge.concern import Concern
from ampbench.visualize.judge.health.health import concerns_of, recorded
from ampbench.visualize.judge.runs.replicates import COLUMNS, Replicates, replicates_of
from ampbench.visualize.judge.runs.slow_boards import slow_boards
from ampbench.visualize.judge.verdict.ladder import Evidence, evidence_of
from ampbench.visualize.judge.verdict.numbers import numbers_of
from ampbench.visualize.judge.verdict.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order

REFERENCE = "reference"
"""In place of a verdict, for the recipe that the others are compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where one recipe of one subject stands at one batch size."""

    subject: str
    batch_size: int
    recipe: str
    measured: Replicates
    verdict: Verdict | None
    """Against the reference; None for the reference itself, and for a recipe without a comparison."""
    is_reference: bool
    evidence: Evidence
    """The rungs of the ladder that were measured."""
    concerns: tuple[Concern, ...]
    """What a reader must know of these numbers; empty if all is well."""

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
        """Name -> value, for a frame."""
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
            "evidence": "; ".join(f"{step.rung} {step.says}: {step.text}" for step in self.evidence.steps) or None,
            "concerns": "; ".join(concern.text for concern in self.concerns) or None,
        }


def standings(results: Results, verdicts: Sequence[Verdict]) -> list[Standing]:
    """Return one for every subject, batch size and recipe, even if no cell of it ran to its end."""
    judged = {(v.subject, v.batch_size, v.recipe): v for v in verdicts}
    references = {(v.subject, v.batch_size): v.reference for v in verdicts}
    numbers, records = numbers_of(results), recorded(results.cells)
    measured = results.cells[[name for name in COLUMNS if name in results.cells]]
    outliers = {
        (v.subject, v.batch_size, recipe): [one for one in v.outliers if one.recipe == recipe]
        for v in verdicts
        for recipe in (v.recipe, v.reference)
    }
    slow, ids = slow_boards(results.whole[results.whole["status"] == "ok"]), results.cells["cell_id"].to_numpy()
    found = []
    # Sliced once for each row: a frame of all columns costs more to slice than what is computed from it.
    groups = results.cells.groupby(["subject", "batch_size", "recipe"], observed=True).indices
    for subject, batch_size, recipe in _in_order(groups, results.subjects):
        here = groups[subject, batch_size, recipe]
        key = subject, int(batch_size), recipe
        reference = references.get(key[:2])
        on = tuple(one.concern for one in slow if not one.cell_ids.isdisjoint(ids[here]))
        beside = records.iloc[groups[subject, batch_size, reference]] if reference not in (None, recipe) else None
        found.append(
            Standing(
                subject=subject,
                batch_size=int(batch_size),
                recipe=recipe,
                measured=replicates_of(measured.iloc[here]),
                verdict=judged.get(key),
                is_reference=reference == recipe,
                evidence=evidence_of(judged.get(key), numbers.get(key) if reference != recipe else None),
                concerns=concerns_of(records.iloc[here], beside, judged.get(key), outliers.get(key, ())) + on,
            )
        )
    return found


def _in_order(keys: Iterable[tuple[str, int, str]], subjects: Sequence[str]) -> list[tuple[str, int, str]]:
    """Return keys of rows by subject in the order of the plan, batch size, and recipe in the order of every table."""
    known = list(keys)
    place = {name: i for i, name in enumerate(subjects)}
    rank = {name: i for i, name in enumerate(in_order(recipe for _, _, recipe in known))}
    return sorted(known, key=lambda key: (place[key[0]], key[1], rank[key[2]]))
