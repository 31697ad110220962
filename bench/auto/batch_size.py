"""The batch size that finds itself: the knee of images/s, and the largest that fits, for each recipe, with reasons."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ampbench.bench.auto.batch_reasons import has_open_knee, knee_choice, largest_choice, whys
from ampbench.bench.auto.batch_search import BatchSearch
from ampbench.bench.auto.memory_limit import MemoryLimit, memory_limit
from ampbench.bench.auto.trials import Trials, as_trial
from ampbench.bench.launch.options import Options
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.plan.field_check import FieldCheck
from ampbench.bench.plan.protocol import Budget
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.schema.choices import Choice

QUESTION = "Which batch size fits the memory, and from which on is the training no faster?"
MINUTES_PER_TRIAL = 10.0
"""A batch size whose trial takes longer is as good as one that does not fit."""


def find_batch(
    subject: Mapping[str, Any],
    recipes: Iterable[Recipe | str],
    *,
    folder: Path,
    options: Options,
    console: Console,
    minutes: float,
    max_memory_bytes: int | None = None,
) -> tuple[Choice, ...]:
    """Find the batch size of each recipe: the knee first; then, in what is left of the time, the largest that fits.

    Args:
        subject: the other fields of the cells, as `[fixed]` of an experiment file says them.
        recipes: to be searched, or their names.
        folder: the trials go to `batch.toml` there and `batch/` beside it; those that are there are not run again.
        options: where cells run.
        console: shows them.
        minutes: that all trials may take; what is known when they are over is answered.
        max_memory_bytes: of one process; None means what is free, less a share of safety.

    Returns:
        For each recipe a choice of `batch_size`, its value None where none can be used, and one of
        `largest_batch_size`, tried or predicted. The latter are missing where the time was over before a knee was seen.

    Raises:
        RequestError: the subject is none, a trial failed for another reason than memory, or no batch size fits in any
            recipe.
        KeyboardInterrupt: what is finished is kept.
    """
    until_s = time.monotonic() + 60 * minutes
    cells = [cell_of(subject, recipe, folder) for recipe in recipes]
    search = search_in(folder, options, console, asked_bytes=max_memory_bytes)
    search.until_s = until_s
    search.run([("knee", cell) for cell in cells])
    found = [search.of(cell) for cell in cells]
    chosen = [knee_choice(tried, search) for tried in found]
    if all(choice.value is None for choice in chosen):
        if any(has_open_knee(tried, search) and all(tried.fits.values()) for tried in found):
            return tuple(chosen)
        is_memory = search.limit and any(one.is_out_of_memory for tried in found for one in tried.trials.values())
        limit = f" ({search.limit.because})" if search.limit and is_memory else ""
        raise RequestError(f"{cells[0].model} trains at no batch size here{limit}: {whys(chosen)}")
    # A prediction loads torch, some seconds: not where there was no time for the knee itself.
    seen = [cell for cell, one in zip(cells, chosen, strict=True) if one.value is not None]
    search.run([("max", cell) for cell in seen])
    search.run([("knee", cell) for cell in seen])  # those trials have speeds too, which may leave a gap beside the knee
    found = [search.of(cell) for cell in cells]
    chosen = [knee_choice(tried, search) for tried in found]
    largest = [largest_choice(tried, search) for tried in found]
    return tuple(choice for pair in zip(chosen, largest, strict=True) for choice in pair)


def search_in(
    folder: Path,
    options: Options,
    console: Console,
    *,
    asked_bytes: int | None,
    minutes_per_trial: float = MINUTES_PER_TRIAL,
) -> BatchSearch:
    """Return the search of a folder, under the limit that its earlier trials had if there are any.

    What is free changes from call to call; trials under several limits would contradict each other, so a limit that
    was asked for has a file of its own.
    """
    boards = options.launcher.find_boards()
    name = "batch" if asked_bytes is None else f"batch_{asked_bytes / 2**30:.4g}_gib"
    budget = Budget(minutes_per_cell=min(minutes_per_trial, MINUTES_PER_TRIAL))
    trials = Trials(folder=folder, name=name, question=QUESTION, budget=budget, options=options, console=console)
    before = trials.earlier()
    gib_before = before.budget.memory_gib_per_cell if before else None
    limit: MemoryLimit | None
    if gib_before is not None:
        limit = MemoryLimit.of_trials(gib_before)
    else:
        limit = memory_limit(boards.used[0], asked_bytes)
    budget = dataclasses.replace(budget, memory_gib_per_cell=limit.trial_gib if limit else None)
    return BatchSearch(trials=dataclasses.replace(trials, budget=budget), limit=limit)


def cell_of(subject: Mapping[str, Any], recipe: Recipe | str, folder: Path) -> Cell:
    """Return the cell of a recipe, with a batch size that a search replaces.

    Raises:
        RequestError: there is no such recipe, or a field of the subject is wrong.
    """
    check = FieldCheck(folder)
    if isinstance(recipe, str) and recipe not in RECIPES:
        raise RequestError(f"{recipe!r} is no recipe. {did_you_mean(recipe, RECIPES)}")
    fields = check.fields({k: v for k, v in subject.items() if k not in ("batch_size", "precision")}, "[fixed]")
    found = RECIPES[recipe] if isinstance(recipe, str) else recipe
    return as_trial(Cell(**{**fields, "precision": found, "batch_size": 1}), 1)
