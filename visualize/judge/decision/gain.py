"""What a recipe gains over the reference by what the reader wants: speed, memory, energy or time to an accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ampbench.visualize.judge.decision.wishes import Want
from ampbench.visualize.judge.runs.pairs import effect_of, positive
from ampbench.visualize.judge.verdict.verdict import Verdict
from ampbench.visualize.read.peaks import PEAK, instrument_of
from ampbench.visualize.stats import statistics
from ampbench.visualize.stats.effect import SAME, paired
from ampbench.visualize.stats.statistics import Ratio

Told = Literal["better", "same", "worse", "open"]

COLUMNS: dict[Want, str] = {
    "speed": "images_per_s",
    "memory": PEAK,
    "energy": "joules_per_image",
    "time-to-accuracy": "time_to_accuracy_s",
}
"""What the reader wants -> the column that says how much of it a cell has."""
NOUNS: dict[Want, str] = {
    "speed": "images a second",
    "memory": "memory",
    "energy": "energy per image",
    "time-to-accuracy": "time to the accuracy that was asked for",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """What is known of a recipe against the reference, by one wish."""

    told: Told
    """open: the interval does not say, or there is none."""
    ratio: Ratio
    """Of the recipe over the reference; less is better, except of speed."""


def gain_of(cells: pd.DataFrame, verdict: Verdict, want: Want) -> Gain:
    """Return what a recipe gains over the reference by a wish.

    Args:
        cells: that ran to their end, of one subject and batch size.
        verdict: on the recipe.
        want: what the reader chooses by.
    """
    if want == "speed":
        return Gain(told=higher(verdict.speed), ratio=verdict.speed)
    if want == "time-to-accuracy":
        known = COLUMNS[want] in cells
        effect = effect_of(cells, verdict.reference, verdict.recipe, COLUMNS[want]) if known else paired([])
        ratio = statistics.judge_ratio(effect, verdict.speed.alpha, up="more", down="less")
        return Gain(told=lower(ratio), ratio=ratio)
    found = verdict.memory if want == "memory" else verdict.energy
    if found is None:
        return Gain(told="open", ratio=statistics.compare_speed([]))
    exact = want == "memory" and not instrument_of(cells).of_process
    told = _exactly(cells, COLUMNS[want], verdict.reference, verdict.recipe) if exact else lower(found)
    return Gain(told=told, ratio=found)


def lower(ratio: Ratio) -> Told:
    """Return what a ratio says of which less is better."""
    words: dict[str, Told] = {"more": "worse", "less": "better", "same": "same"}
    return words.get(ratio.verdict, "open")


def higher(ratio: Ratio) -> Told:
    """Return what a ratio of speeds says."""
    words: dict[str, Told] = {"faster": "better", "slower": "worse", "same": "same"}
    return words.get(ratio.verdict, "open")


def _exactly(cells: pd.DataFrame, column: str, reference: str, recipe: str) -> Told:
    ours, theirs = (positive(cells.loc[cells["recipe"] == one, column]) for one in (recipe, reference))
    return apart(ours, theirs) or "open"


def apart(ours: pd.Series, theirs: pd.Series) -> Told | None:
    """Judge peaks of an allocator, which repeat themselves: told if their ranges over the processes lie apart by 1 %.

    None if a side is unknown.
    """
    if ours.empty or theirs.empty:
        return None
    factor = math.exp(SAME)
    if ours.max() * factor < theirs.min():
        return "better"
    if ours.min() > theirs.max() * factor:
        return "worse"
    return "same" if max(ours.max(), theirs.max()) <= factor * min(ours.min(), theirs.min()) else "open"
