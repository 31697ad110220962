"""What became of the trials of a search, from the joined tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ampbench.bench.auto.search.proposals import Tried
from ampbench.bench.plan.search import SEEN_WHILE_TRAINING
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.schema.search import Trial

NOT_THERE = ("failed", "crashed", "unsupported")
"""Endings that say nothing of the settings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """The results of trials and reruns, by cell id."""

    statuses: Mapping[str, str]
    reasons: Mapping[str, str]
    values: Mapping[str, float | None]
    """The objective; None unless the cell ran to its end with it."""
    courses: Mapping[str, Mapping[int, float]]
    """Epoch -> the objective; only of objectives that are seen while training."""

    @classmethod
    def of(cls, folder: Folder, objective: str) -> History:
        """Read it from the joined tables."""
        rows = joined_rows(folder, ["cell_id", "status", "because", objective])
        courses: dict[str, dict[int, float]] = {}
        if objective in SEEN_WHILE_TRAINING:
            for row in joined_rows(folder, ["cell_id", "epoch", objective], "epochs"):
                if row[objective] is not None:
                    courses.setdefault(row["cell_id"], {})[row["epoch"]] = row[objective]
        return cls(
            statuses={row["cell_id"]: row["status"] for row in rows},
            reasons={row["cell_id"]: row["because"] or "" for row in rows},
            values={row["cell_id"]: row[objective] if row["status"] == "ok" else None for row in rows},
            courses=courses,
        )

    def tried(self, trial: Trial) -> Tried:
        """Return a trial as a sampler sees it."""
        return Tried(
            values=trial.values,
            value=self.values.get(trial.cell_id),
            course=self.courses.get(trial.cell_id, {}),
            is_running=trial.cell_id not in self.statuses,
        )

    def why_hopeless(self, trials: Collection[Trial]) -> str | None:
        """Return why no trial has run yet, if none of three or more has; else None."""
        ended = [trial.cell_id for trial in trials if trial.cell_id in self.statuses]
        if len(ended) < 3 or any(self.statuses[cell_id] not in NOT_THERE for cell_id in ended):
            return None
        return f"{self.statuses[ended[-1]]}, {self.reasons[ended[-1]]}"
