"""Recipes at different batch sizes: the processes do not pair up, so their means are compared (Welch, 1947)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ampbench.visualize.judge.decision.standing import Standing
from ampbench.visualize.judge.runs.pairs import positive
from ampbench.visualize.read.peaks import INSTRUMENT, PEAK, STARTUP
from ampbench.visualize.stats import effect, statistics
from ampbench.visualize.stats.family import LEAST_SD, Family
from ampbench.visualize.stats.statistics import Change, Ratio

CHANGES: dict[str, tuple[Change, Change]] = {"images_per_s": ("faster", "slower")}
"""Column -> the words for more and less of it, where they are not `more` and `less`."""
INSTRUMENTS = {PEAK: INSTRUMENT, "joules_per_image": "energy_instrument"}
"""Column -> the column that names its instrument; what two instruments measured is not compared."""


def ratios_across(cells: pd.DataFrame, column: str, base: Standing, rows: Sequence[Standing]) -> list[Ratio]:
    """Return the ratio of each of `rows` to `base`, which ran at another batch size; all of them are one family.

    Args:
        cells: that ran to their end, of one subject.
        column: what is compared, as in images_per_s.
        base: where the reference stands at its best batch size.
        rows: where others stand.
    """
    theirs = list(np.log(values_of(cells, column, base)))
    effects = tuple(
        effect.unpaired(theirs, list(np.log(values_of(cells, column, row))))
        if _by_one_instrument(cells, column, (base, row))
        else effect.paired([])
        for row in rows
    )
    family = Family(
        name="the comparisons across batch sizes", effects=effects, least_variance=(_least(column),) * len(effects)
    )
    alphas = family.alphas(lambda one: one.p_difference)
    up, down = CHANGES.get(column, ("more", "less"))
    return [
        statistics.judge_ratio(one, alpha, up=up, down=down) for one, alpha in zip(family.shrunken, alphas, strict=True)
    ]


def _by_one_instrument(cells: pd.DataFrame, column: str, rows: Sequence[Standing]) -> bool:
    """Whether all that was measured of a column was measured by one instrument, or by one that is not known."""
    name = INSTRUMENTS.get(column)
    if name is None or name not in cells or column not in cells:
        return True
    here = pd.concat([cells[(cells["recipe"] == r.recipe) & (cells["batch_size"] == r.batch_size)] for r in rows])
    return here.loc[here[column].notna(), name].nunique() <= 1


def _least(column: str) -> float:
    """Return the least variance of a column's logs; peaks of memory may repeat themselves exactly."""
    return 0.0 if column == PEAK else LEAST_SD**2


def values_of(cells: pd.DataFrame, column: str, standing: Standing) -> pd.Series:
    """Return what the processes of a recipe at a batch size measured, without what is zero or missing."""
    if column not in cells:
        return pd.Series(dtype=float)
    here = (cells["recipe"] == standing.recipe) & (cells["batch_size"] == standing.batch_size)
    return positive(cells.loc[here, column])


def peak_bytes(cells: pd.DataFrame, standing: Standing) -> float:
    """Return the largest peak of its processes; NaN if none is known."""
    return float(values_of(cells, PEAK, standing).max())


def needed_bytes(cells: pd.DataFrame, standing: Standing) -> float:
    """Return what a board must have for it: the larger of start-up and steady peak; NaN if none is known.

    The start-up counts where the instrument of the peak measured it too: while kernels are tried, it may be the larger.
    """
    here = cells[(cells["recipe"] == standing.recipe) & (cells["batch_size"] == standing.batch_size)]
    if STARTUP in here and here["memory_instrument"].equals(here[INSTRUMENT]):
        here = here.assign(**{PEAK: here[[PEAK, STARTUP]].max(axis=1).where(here[PEAK] > 0)})
    return peak_bytes(here, standing)
