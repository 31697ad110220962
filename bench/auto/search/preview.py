"""What `--plan` prints of a search: what is looked for, how, and for how long."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from ampbench.bench.auto.search.proposed import cells_of, record_of
from ampbench.bench.machine.discovery import choose_boards, find_boards, notes_on
from ampbench.bench.plan.data_place import state_of
from ampbench.bench.plan.duration import in_words
from ampbench.bench.plan.experiment import Experiment
from ampbench.bench.plan.matrix import Plan
from ampbench.bench.plan.search import cell_of, corners, studies_of
from ampbench.bench.plan.source import data_note
from ampbench.bench.store.folder import Folder
from ampbench.terminal import printable


def search_outline(experiment: Experiment, results: Path | None, *, gpus: str | None) -> Iterator[str]:
    """Yield the lines; run nothing.

    Args:
        experiment: whose file has [search].
        results: as in `Options`.
        gpus: as `--gpus`; None where cells run elsewhere.

    Raises:
        RequestError: there is no such board, or the folder is another experiment's.
    """
    search, studies = experiment.search, studies_of(experiment)
    assert search is not None, "its file has [search]"
    settings = search.settings
    folder = Folder.of(Plan(experiment=experiment, cells=(), excluded=()), results)
    record = record_of(experiment, folder)
    done = folder.done(cells_of(experiment, record).values())
    yield experiment.question
    yield ""
    if gpus is not None:
        yield from notes_on(os.environ, choose_boards(find_boards(os.environ), gpus))
    best = "highest" if search.greater_is_better else "lowest"
    yield (
        f"A search for the {best} {settings.objective}: {settings.trials} trials (sampler {settings.sampler}, seed "
        f"{settings.seed}, pruner {search.pruner}, {settings.parallel} at a time), over"
    )
    for parameter in search.space:
        yield f"    {parameter}"
    if search.num_points < settings.trials:
        yield f"The space has only {search.num_points:.0f} settings; the search ends when all are tried."
    if len(studies) > 1:
        yield f"Each of these has a search of its own: {', '.join(study.name for study in studies)}."
    finalists = min(settings.finalists, settings.trials)
    if settings.reruns:
        yield (
            f"Then the {finalists} best settings run again with {settings.reruns} further seeds each; the best mean "
            "over these wins."
        )
    else:
        yield "reruns = 0: the best trial wins, and is partly luck."
    cells = [cell_of(experiment, study, next(corners(search.space))) for study in studies]
    for data in sorted({cell.data for cell in cells}):
        note = data_note(data)
        yield printable(f"Data: {data} {state_of(data)}." + (f" Note: {note}." if note else ""))
    yield ""
    each = int(min(settings.trials, search.num_points))
    whole = len(studies) * each + len(studies) * min(finalists, each) * settings.reruns
    yield f"{whole} trainings in all, the reruns included."
    if done:
        yield f"{len(done)} of them have a record."
    todo = max(0, whole - len(done))
    yield f"To run: {todo} cells, {_duration(experiment, folder, todo)}."


def _duration(experiment: Experiment, folder: Folder, todo: int) -> str:
    seconds = [one for one in folder.stamp()["cell_s"].values() if one is not None]
    if not seconds:
        return (
            f"no cell finished yet to estimate the time from (limit {experiment.budget.minutes_per_cell:g} min a cell)"
        )
    return f"about {in_words(todo * statistics.median(seconds))} on one board, judged by {len(seconds)} finished cells"
