"""The numbers behind `batch_size = "max"` and `"knee"` of an experiment file: found by trials before its first cell.

The trials are `batch.toml` and its results in the experiment's own folder. When the same command is run again, they are
read instead of run, so that a resumed experiment has the same numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from rich.console import Console

from ampbench.bench.auto.batch_reasons import knee_choice, largest_choice, whys
from ampbench.bench.auto.batch_search import BatchSearch
from ampbench.bench.auto.batch_size import search_in
from ampbench.bench.auto.trials import as_trial
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.machine.file_lock import hold_file
from ampbench.bench.plan.batch_words import BatchWord
from ampbench.bench.plan.cell import PRECISION_FIELDS, Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import Experiment
from ampbench.bench.plan.matrix import Plan, words_of
from ampbench.bench.store.choices import write_choices
from ampbench.bench.store.folder import Folder
from ampbench.schema.choices import Choice, read_choices

LOCK = ".batch.lock"
"""In the experiment's folder: of several launchers, as of shards, one runs the trials and the others wait for it."""


def with_found_batches(experiment: Experiment, options: Options, console: Console) -> Experiment:
    """Return an experiment whose words for batch sizes have numbers; trials are run for those that have none yet.

    Raises:
        RequestError: no cell has a batch size that fits, or a trial failed for another reason than memory.
        KeyboardInterrupt: what is finished is kept.
    """
    asked = words_of(experiment)
    if not asked:
        return experiment
    folder = Folder.of(Plan(experiment=experiment, cells=(), excluded=()), options.results)
    folder.path.mkdir(parents=True, exist_ok=True)
    with hold_file(folder.path / LOCK):
        search = _search(experiment, folder, options, console)
        trials = _trials(asked)
        todo = search.open_trials(trials)
        if todo:
            words = " and ".join(f'"{word}"' for word in dict.fromkeys(word for word, _ in asked))
            limit = f", each within {search.limit.trial_gib:.3g} GiB ({search.limit.because})" if search.limit else ""
            console.print(
                f"batch_size = {words}: trials of {len(asked)} kind{'s' * (len(asked) > 1)} of cells{limit}", **PLAIN
            )
        search.run(trials)
        choices = _as_before(_choices(asked, search), read_choices(folder.path))
        write_choices(folder.path, choices.values())
    if all(choice.value is None for choice in choices.values()):
        raise RequestError(
            f"{experiment.path}, batch_size: no cell has a batch size that fits: {whys(choices.values())}"
        )
    for choice in choices.values():
        console.print(f"batch_size of {choice.subject}: {choice.value or 'none'} ({choice.reason})", **PLAIN)
    return _replaced(experiment, choices)


def lines_before_trials(experiment: Experiment, options: Options, console: Console) -> list[str]:
    """Return lines that say which trials a run begins with; none if all of them have been run. Runs nothing."""
    asked = words_of(experiment)
    folder = Folder.of(Plan(experiment=experiment, cells=(), excluded=()), options.results)
    search = _search(experiment, folder, options, console)
    if search.known and not search.open_trials(_trials(asked)):
        return []
    names = dict.fromkeys(
        f"{cell.model} in {cell.precision}, batch_size = '{word}'" for (word, _), cell in asked.items()
    )
    limit = (
        f" They take at most {search.limit.trial_gib:.3g} GiB each ({search.limit.because})." if search.limit else ""
    )
    return [
        experiment.question,
        "",
        "The batch sizes are not known yet. A run begins with trials of a few seconds each, in fresh processes:",
        *(f"        {name}" for name in names),
        f"Then the plan has its numbers, and --plan shows it.{limit}",
        *options.launcher.notes(options.launcher.find_boards()),
    ]


def _search(experiment: Experiment, folder: Folder, options: Options, console: Console) -> BatchSearch:
    asked_gib = experiment.budget.memory_gib_per_cell
    return search_in(
        folder.path,
        options,
        console,
        asked_bytes=None if asked_gib is None else int(asked_gib * 2**30),
        minutes_per_trial=experiment.budget.minutes_per_cell,
    )


def _trials(asked: Mapping[tuple[BatchWord, str], Cell]) -> list[tuple[BatchWord, Cell]]:
    return [(word, as_trial(cell, 1)) for (word, _), cell in asked.items()]


def _choices(asked: Mapping[tuple[BatchWord, str], Cell], search: BatchSearch) -> dict[tuple[BatchWord, str], Choice]:
    """Return what was found for each word and kind of cells, named by what tells it from the others."""
    found = {}
    for (word, key), cell in asked.items():
        tried = search.of(as_trial(cell, 1))
        choice = knee_choice(tried, search) if word == "knee" else largest_choice(tried, search, field="batch_size")
        several = len({word for word, _ in asked}) > 1
        subject = " ".join([*_telling(cell, list(asked.values())), *[f"({word})"] * several])
        value = tried.start if tried.unsupported else choice.value  # its one cell says what the machine cannot do
        found[word, key] = dataclasses.replace(choice, subject=subject, value=value)
    return found


def _as_before(
    choices: Mapping[tuple[BatchWord, str], Choice], before: Sequence[Choice]
) -> dict[tuple[BatchWord, str], Choice]:
    """Return the choices in their first words, which know more: what was predicted is not asked for again."""
    known = {(one.field, one.subject, one.value): one for one in before if one.by == "measurement"}
    return {key: known.get((one.field, one.subject, one.value), one) for key, one in choices.items()}


def _telling(cell: Cell, cells: Sequence[Cell]) -> list[str]:
    """Return the recipe, and the fields by which a cell differs from others."""
    fields = [name for name in cell.settings if name not in (*PRECISION_FIELDS, "batch_size", "round", "seed")]
    moving = [name for name in fields if len({repr(one.setting(name)) for one in cells}) > 1]
    return [cell.precision.name, *(f"{name}={cell.setting(name)}" for name in moving)]


def _replaced(experiment: Experiment, choices: Mapping[tuple[BatchWord, str], Choice]) -> Experiment:
    sizes = {key: choice.value if isinstance(choice.value, int) else choice.reason for key, choice in choices.items()}
    return dataclasses.replace(experiment, batch_sizes=sizes)
