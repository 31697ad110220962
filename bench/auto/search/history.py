"""What is known of a search: the proposals of search.json with the results of the joined tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from ampbench.bench.auto.search.proposals import Tried
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import Experiment
from ampbench.bench.plan.search import SEEN_WHILE_TRAINING, Choices, Search, cell_of, studies_of
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import joined_rows
from ampbench.schema.search import Line, SearchRecord, Trial, read_search

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


def record_of(experiment: Experiment, folder: Folder) -> SearchRecord:
    """Return what the folder knows of this search: the trials that the file could still propose.

    A file with other fixed fields makes other cells, and begins anew; one with a wider space, more trials or another
    objective goes on from those that are there.
    """
    search = experiment.search
    assert search is not None, "its file has [search]"
    record = SearchRecord(
        objective=search.settings.objective,
        greater_is_better=search.greater_is_better,
        num_trials=search.settings.trials,
        space=tuple(_lines(search)),
    )
    earlier = read_search(folder.path)
    return record if earlier is None else replace(record, trials=tuple(_kept(experiment, search, earlier)))


def _kept(experiment: Experiment, search: Search, earlier: SearchRecord) -> Iterator[Trial]:
    studies = {study.name: study for study in studies_of(experiment)}
    numbers = dict.fromkeys(studies, 0)
    for trial in earlier.trials:
        study = studies.get(trial.study)
        if study is None or not search.holds(trial.values):
            continue
        try:
            is_ours = cell_of(experiment, study, trial.values).cell_id == trial.cell_id
        except (RequestError, TypeError, ValueError):
            continue
        if is_ours:
            yield replace(trial, number=numbers[study.name])
            numbers[study.name] += 1


def _lines(search: Search) -> Iterator[Line]:
    for p in search.space:
        if isinstance(p, Choices):
            yield Line(field=p.field, choices=tuple(p.values))
        else:
            yield Line(field=p.field, low=p.low, high=p.high, log=p.log)
