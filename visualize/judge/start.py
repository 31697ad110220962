"""The start of each recipe's trainings against the reference's: rung 3 of the ladder, minutes instead of hours.

Two cells of one seed that differ only in the precision have paired starts: trainings, by their first steps, and
timings, which train from the same weights on the same images. `[measure] start_steps` makes timings long enough.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ampbench.schema.start import START_STEPS, tail_of
from ampbench.visualize.judge.verdict import Verdict
from ampbench.visualize.read.frame import Results
from ampbench.visualize.stats.start import Pair, judge_starts

SEED = ["group_id", "environment_id"]
"""Columns in which the two cells of a pair are equal: rounds of one seed train the same again."""
CHANCE_SDS = 3.0
"""Standard deviations by which the reference's share of correct images must lie above that of guessing."""


def with_starts(results: Results, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts, each with its start where the two recipes have paired ones; all of them are one family."""
    cells, first = first_of_seed(results), first_steps(results)
    losses = {str(cell_id): own.to_numpy(float) for cell_id, own in first.groupby("cell_id", observed=True)["loss"]}
    learned = _learned(cells, first)
    pairs = []
    for verdict in verdicts:
        here = cells[(cells["subject"] == verdict.subject) & (cells["batch_size"] == verdict.batch_size)]
        wide = here.set_index([*SEED, here["recipe"].astype(str)])["cell_id"].unstack()
        wide = wide.reindex(columns=[verdict.reference, verdict.recipe]).dropna()
        ids = [(a, b) for a, b in wide.itertuples(index=False) if a in losses and b in losses]
        pairs.append([Pair(reference=losses[a], recipe=losses[b], has_learned=a in learned) for a, b in ids])
    paired = [i for i, own in enumerate(pairs) if own]
    found = dict(zip(paired, judge_starts([pairs[i] for i in paired]), strict=True))
    return [dataclasses.replace(verdict, start=found.get(i)) for i, verdict in enumerate(verdicts)]


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
    of_cell = np.array([limits.get(str(cell_id), 0.0) for cell_id in steps["cell_id"]], dtype=float)
    return steps[steps["step"] <= of_cell].sort_values(["cell_id", "step"])


def _learned(cells: pd.DataFrame, first: pd.DataFrame) -> set[str]:
    """Return the ids of the cells whose last tenth was classified better than by chance, or not classified at all."""
    ids = set(cells["cell_id"].astype(str))
    if "train_accuracy" not in first or "num_images" not in first or "num_classes" not in cells:
        return ids
    chances = 1 / cells.set_index("cell_id")["num_classes"]
    for cell_id, own in first.groupby("cell_id", observed=True):
        end, chance = own.tail(tail_of(len(own))), chances.get(str(cell_id), math.nan)
        right = np.average(end["train_accuracy"], weights=end["num_images"])
        least = chance + CHANCE_SDS * math.sqrt(chance * (1 - chance) / end["num_images"].sum())
        if right <= least:  # a NaN is not known, and no reproach
            ids.discard(str(cell_id))
    return ids
