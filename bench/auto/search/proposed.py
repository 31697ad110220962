"""What a search has proposed so far, as far as the file of today could still propose it: search.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.experiment import Experiment
from ampbench.bench.plan.search import Choices, Search, cell_of, studies_of
from ampbench.bench.store.folder import Folder
from ampbench.schema.search import Line, SearchRecord, Trial, read_search


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
        except (TypeError, ValueError):
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


def cells_of(experiment: Experiment, record: SearchRecord) -> dict[str, Cell]:
    """Return cell id -> cell of all trials, and then of all reruns."""
    studies = {study.name: study for study in studies_of(experiment)}
    found = {t.cell_id: cell_of(experiment, studies[t.study], t.values) for t in record.trials}
    for t in record.trials:
        for i, cell_id in enumerate(t.reruns, 1):
            found[cell_id] = cell_of(experiment, studies[t.study], t.values, rerun=i)
    return found
