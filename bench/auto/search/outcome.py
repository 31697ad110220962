"""What a search found: the best setting as an experiment file, its values with their reasons, and the last lines."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ampbench.bench.auto.search.history import History
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.experiment import Experiment
from ampbench.bench.plan.model_args import as_arguments
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.plan.search import cell_of, studies_of
from ampbench.bench.store.atomic import write_text
from ampbench.bench.store.choices import write_choices
from ampbench.bench.store.folder import Folder
from ampbench.schema.choices import Choice
from ampbench.schema.files import BEST_SETTING
from ampbench.schema.search import SearchRecord, Setting, settled
from ampbench.schema.toml_values import key_of, text_of_tables

WORDS = {"images_per_s": "images/s", "time_to_accuracy_s": "seconds to accuracy"}
"""Objective -> its words, where they are not its name."""
NUM_SEEDS = 3
"""Of best.toml."""


def write_outcome(experiment: Experiment, record: SearchRecord, history: History, folder: Folder) -> None:
    """Write choices.json and best.toml; nothing if no trial has a value."""
    found = {study: best for study in record.studies if (best := settled(record, study, history.values).best)}
    for study, best in found.items():
        reason = _reason(record, study, best)
        choices = [
            Choice(field=key, value=value, reason=reason, evidence=str(folder.path), by="measurement", subject=study)
            for key, value in best.trial.values.items()
        ]
        write_choices(folder.path, choices)
    if not found:
        (folder.path / BEST_SETTING).unlink(missing_ok=True)
        return
    sign = 1 if record.greater_is_better else -1
    name = max(found, key=lambda study: sign * _value(found[study]))
    studies = {study.name: study for study in studies_of(experiment)}
    cell = cell_of(experiment, studies[name], found[name].trial.values)
    write_text(folder.path / BEST_SETTING, text_of_best(experiment, cell, _reason(record, name, found[name])))


def text_of_best(experiment: Experiment, cell: Cell, reason: str) -> str:
    """Return the experiment file of a setting that was found."""
    fixed = {key: value for key, value in _said(cell).items() if key != "seed"}
    tables: dict[str, Mapping[str, Any]] = {"matrix": {"seed": [cell.seed + i for i in range(NUM_SEEDS)]}}
    tables["fixed"] = fixed
    if cell.precision != RECIPES.get(cell.precision.name):
        tables[f"precision.{key_of(cell.precision.name)}"] = {
            key: value for key, value in _changed(cell.precision).items() if key != "name"
        }
    tables |= {"measure": _changed(experiment.protocol), "budget": _changed(experiment.budget)}
    comments = [f"The best setting of {experiment.path.name}: {reason}.", "The search writes it anew."]
    return text_of_tables(f"How well does {cell.model} train with the best setting?", tables, comments=comments)


def last_lines(record: SearchRecord, history: History, folder: Folder) -> Iterator[str]:
    """Yield what a person does with the answer."""
    path = os.path.relpath(folder.path / BEST_SETTING)
    if (folder.path / BEST_SETTING).exists():
        command = ["python", "bench/run_matrix.py", path, "--results", os.path.relpath(folder.path)]
        yield f"The best setting is {path}; to train with it: {shlex.join(command)}"
    for study in record.studies:
        found = settled(record, study, history.values)
        if found.best is None:
            of = f" of {study}" if study else ""
            yield f"No trial{of} ended with a {record.objective}; its rows in the report say why"


def _reason(record: SearchRecord, study: str, best: Setting) -> str:
    words, num = WORDS.get(record.objective, record.objective.replace("_", " ")), len(record.of(study))
    if best.mean is None:
        return f"best of {num} trials, {words} {_short(best.value)} in one run, so partly luck"
    count = len(best.reruns)
    return f"best of {num} trials, {words} {_short(best.mean)} over {count} rerun{'s' * (count > 1)}"


def _value(setting: Setting) -> float:
    return setting.mean if setting.mean is not None else setting.value or 0.0


def _short(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"


def _said(cell: Cell) -> dict[str, Any]:
    """Return the fields of a cell that a file has to say."""
    always = {f.name for f in dataclasses.fields(Cell) if f.default is dataclasses.MISSING}
    said = {key: value for key, value in _changed(cell).items() if key not in ("round", "precision", "model_args")}
    said = {key: getattr(cell, key) for key in ("model", "data")} | {"precision": cell.precision.name} | said
    if cell.model_args:
        said["model_args"] = as_arguments(cell.model_args)
    return said | {key: getattr(cell, key) for key in always if key != "precision"}


def _changed(record: Any) -> dict[str, Any]:
    """Return the fields of a data class that differ from their default."""
    pairs = {f.name: (getattr(record, f.name), f.default) for f in dataclasses.fields(record)}
    return {name: value for name, (value, default) in pairs.items() if value != default and value is not None}
