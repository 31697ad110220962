"""The start of each recipe's trainings against the reference's: rung 3 of the ladder, minutes instead of hours.

Two cells of one seed that differ only in the precision have paired starts: trainings, by their first steps, and
timings, which train from the same weights on the same images. `[measure] start_steps` makes timings long enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ampbench.schema.start import START_STEPS, tail_of
from ampbench.visualize.read.frame import Results
from ampbench.visualize.stats.start import Pair, Start, judge_starts
from ampbench.visualize.stats.statistics import Floats

SEED = ["group_id", "environment_id"]
"""Columns in which the two cells of a pair are equal: rounds of one seed train the same again."""
CHANCE_SDS = 3.0
"""Standard deviations by which the reference's share of correct images must lie above that of guessing."""


class Compared(NamedTuple):
    """Two recipes of one subject at one batch size."""

    subject: str
    batch_size: int
    reference: str
    recipe: str


def starts_of(results: Results, compared: Sequence[Compared]) -> list[Start | None]:
    """Return the start of each comparison, None where its recipes have no paired ones; all of them are one family."""
    cells, first = first_of_seed(results), first_steps(results)
    rows = {str(cell_id): places for cell_id, places in first.groupby("cell_id", observed=True).indices.items()}
    losses, right, seen = (_numbers(first, name) for name in ("loss", "train_accuracy", "num_images"))
    num_classes = dict(zip(cells["cell_id"], _numbers(cells, "num_classes"), strict=True))
    learned = {
        cell_id: _has_learned(right[places], seen[places], num_classes[cell_id]) for cell_id, places in rows.items()
    }
    of_recipe: dict[tuple[str, int, str], dict[tuple[str, ...], str]] = {}
    columns = (cells[name] for name in ("subject", "batch_size", "recipe", "cell_id", *SEED))
    for subject, batch_size, recipe, cell_id, *seed in zip(*columns, strict=True):
        if cell_id in rows:
            of_recipe.setdefault((subject, batch_size, recipe), {})[*seed,] = cell_id
    comparisons = []
    for one in compared:
        a, b = (of_recipe.get((one.subject, one.batch_size, recipe), {}) for recipe in (one.reference, one.recipe))
        comparisons.append(
            [
                Pair(reference=losses[rows[a[seed]]], recipe=losses[rows[b[seed]]], has_learned=learned[a[seed]])
                for seed in a
                if seed in b
            ]
        )
    paired = [i for i, pairs in enumerate(comparisons) if pairs]
    found = dict(zip(paired, judge_starts([comparisons[i] for i in paired]), strict=True))
    return [found.get(i) for i in range(len(compared))]


def _numbers(frame: pd.DataFrame, name: str) -> Floats:
    """Return a column; NaN where an older ampbench did not write it."""
    return frame[name].to_numpy(float) if name in frame else np.full(len(frame), math.nan)


def first_of_seed(results: Results) -> pd.DataFrame:
    """Return the cells that trained, those that diverged too, of each seed the first round."""
    cells = results.cells[results.cells["status"].isin(["ok", "diverged"])].sort_values("round")
    return cells.drop_duplicates(["subject", "batch_size", "recipe", *SEED])


def first_steps(results: Results) -> pd.DataFrame:
    """Return the rows of `steps` that are the start of each of these cells, in the order of the steps.

    As many as `[measure] start_steps` asked of the subject's cells, else 400. A training that diverged there ends with
    its first loss that is not finite.
    """
    cells = first_of_seed(results)
    asked = cells["start_steps"] if "start_steps" in cells else pd.Series(math.nan, cells.index)
    most = asked.groupby([cells["subject"], cells["batch_size"]]).transform("max").fillna(START_STEPS)
    limits = dict(zip(cells["cell_id"].astype(str), most, strict=True))
    steps = results.steps[results.steps["step"] <= max(limits.values(), default=0.0)]
    of_id = np.array([limits.get(str(cell_id), 0.0) for cell_id in steps["cell_id"].cat.categories], dtype=float)
    return steps[steps["step"] <= of_id[steps["cell_id"].cat.codes]].sort_values(["cell_id", "step"])


def _has_learned(right_T: Floats, seen_T: Floats, num_classes: float) -> bool:
    """Whether the last tenth was classified better than by guessing; True where that is not known.

    Args:
        right_T: share of each step's images that was classified correctly.
        seen_T: images of each step.
        num_classes: of the data set; guessing classifies one in so many.
    """
    tail = tail_of(len(right_T))
    num_images = seen_T[-tail:].sum()
    if not (num_images > 0 and 1 < num_classes < math.inf):
        return True
    chance = 1 / num_classes
    share = (right_T[-tail:] * seen_T[-tail:]).sum() / num_images
    return not share <= chance + CHANCE_SDS * math.sqrt(chance * (1 - chance) / num_images)  # a NaN is not known
