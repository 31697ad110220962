"""How the images come to the device: kept there if they fit, else by as many loading processes as the training needs.

A training that waits for its images is slow in every precision, and a comparison of recipes then measures the loader.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from ampbench.bench.auto.batch_size import MINUTES_PER_TRIAL, cell_of
from ampbench.bench.auto.knee import ENOUGH, FLAT
from ampbench.bench.auto.trials import Trial, Trials, as_trial
from ampbench.bench.launch.options import Options
from ampbench.bench.machine.free_memory import free_bytes
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.protocol import Budget
from ampbench.bench.plan.recipe import Recipe
from ampbench.bench.plan.words import gib
from ampbench.bench.store.image_cache import num_training_images
from ampbench.schema.choices import Choice

QUESTION = "How many processes have to load the images, so that the training does not wait for them?"

DATA_SHARE = 0.2
"""Of the free memory of the device, that the images may take: the rest is for the training."""

MOST_WORKERS = 16
"""Study S4's limit."""
BY_RULE = 4
"""At most, where there was no time for a trial: the default of a cell."""
TRIAL_S = 8.0
"""About what a trial takes, with the start of its loading processes."""

Speeds = Mapping[int, float | None]
"""Number of loading processes -> images/s; None where it could not be used."""


def find_workers(
    subject: Mapping[str, Any],
    recipe: Recipe | str,
    batch_size: int,
    *,
    folder: Path,
    options: Options,
    console: Console,
    minutes: float,
) -> tuple[Choice, ...]:
    """Find the loader and its number of processes.

    Args:
        subject: the other fields of the cells, as `[fixed]` of an experiment file says them.
        recipe: the fastest one, or its name: it needs the most images.
        batch_size: that will be used.
        folder: trials go to `workers.toml` there and `workers/` beside it; none if the images fit on the device.
        options: where cells run.
        console: shows them.
        minutes: that all trials may take.

    Returns:
        Choices of `loader` and `num_workers`, the latter by a rule where there was no time for a trial.

    Raises:
        RequestError: the subject is none, or no trial ran to its end; in one line.
        KeyboardInterrupt: what is finished is kept.
    """
    cell = as_trial(cell_of(subject, recipe, folder), batch_size)
    board = options.launcher.find_boards().used[0]
    size, free = data_bytes(cell), free_bytes(board)
    if size is not None and free is not None and size <= DATA_SHARE * free:
        reason = f"all training images take {gib(size)} of the {gib(free)} that are free on {board}"
        evidence = f"{num_training_images(cell.data):,} images of {cell.image_size}x{cell.image_size} pixels"
        kept = Choice(field="loader", value="device", reason=reason, evidence=evidence, by="rule")
        none = Choice(field="num_workers", value=0, reason="the images stay on the device", by="rule")
        return kept, none
    trials = Trials(
        folder=folder,
        name="workers",
        question=QUESTION,
        budget=Budget(minutes_per_cell=MINUTES_PER_TRIAL),
        options=options,
        console=console,
    )
    speeds = _timed(cell, trials, until_s=time.monotonic() + 60 * minutes)
    why = "the images do not fit beside the training" if size is not None else "how much the images take is not known"
    loader = Choice(field="loader", value="dataloader", reason=why, by="rule")
    if not speeds:
        most = min(_most(), BY_RULE)
        reason = f"one for each core, {BY_RULE} at most; the time was over before the first trial"
        return loader, Choice(field="num_workers", value=most, reason=reason, by="rule")
    value = enough_workers(speeds)
    if value is None:
        raise RequestError(f"{cell}: no trial with loader = 'dataloader' has a speed; look into {trials.file}")
    known = {number: speed for number, speed in speeds.items() if speed}
    best = max(known, key=lambda number: known[number])
    share = known[value] / known[best]
    more = "" if best == value else f"; {best} give {1 / share - 1:.0%} more"
    chosen = Choice(
        field="num_workers",
        value=value,
        reason=f"{share:.0%} of the best images/s{more}",
        evidence=f"trials with {', '.join(map(str, sorted(speeds)))} processes: {trials.command}",
        by="measurement",
    )
    return loader, chosen


def _most() -> int:
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def data_bytes(cell: Cell) -> int | None:
    """Return what the training images take on a device, a byte a channel; None where their number is not known yet."""
    number = num_training_images(cell.data)
    return None if number is None else number * 3 * cell.image_size**2


def enough_workers(speeds: Speeds) -> int | None:
    """Return the fewest processes within 5 % of the best speed; None if none could be used."""
    known = {number: speed for number, speed in speeds.items() if speed}
    return min((n for n in known if known[n] >= ENOUGH * max(known.values())), default=None)


def next_workers(speeds: Speeds, most: int) -> int | None:
    """Return the number of processes to time next: 0, 1, 2, 4, … up to the first that brings less than 3 %.

    The first process alone may be slower than none, for the images are copied between processes: it ends nothing.

    Args:
        speeds: what was timed.
        most: more processes than cores wait for each other.
    """
    if not speeds:
        return 0
    last, *earlier = sorted(speeds, reverse=True)
    before = max((speeds[number] or 0.0 for number in earlier), default=0.0)
    if last > 1 and (speeds[last] or 0.0) < FLAT * before:
        return None
    following = max(1, 2 * last)
    return following if following <= most else None


def _timed(cell: Cell, trials: Trials, *, until_s: float) -> dict[int, float | None]:
    """Time one number of processes after the other."""
    most = _most()
    base = dataclasses.replace(cell, loader="dataloader")
    known = trials.known()
    speeds: dict[int, float | None] = {}
    while (number := next_workers(speeds, most)) is not None:
        wanted = dataclasses.replace(base, num_workers=number)
        own = _of(wanted, known)
        if own is None:
            if time.monotonic() + TRIAL_S > until_s:
                break
            known = trials.run([wanted], known)
            own = _of(wanted, known)
        assert own is not None, "every trial leaves a record"
        if own.status in ("failed", "crashed") and not own.is_out_of_memory:
            raise RequestError(f"{wanted} with {number} loading processes {own.status}: {own.because}")
        speeds[number] = own.images_per_s
    return speeds


def _of(cell: Cell, known: tuple[Trial, ...]) -> Trial | None:
    return next((trial for trial in known if trial.cell.cell_id == cell.cell_id), None)
