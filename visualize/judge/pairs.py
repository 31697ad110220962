"""Pairs of processes that differ only in the precision, and the effect of a recipe within the pairs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ampbench.visualize.stats import effect
from ampbench.visualize.stats.effect import Effect

PAIRED = ["group_id", "round", "environment_id"]
"""Columns in which the two cells of a pair are equal."""


def effect_of(ok: pd.DataFrame, a: str, b: str, column: str = "images_per_s", *, unpaired: bool = False) -> Effect:
    """Return the effect on log(b / a) of a column: over pairs, or all processes if `unpaired` and below 2 pairs."""
    ratios = log_ratios(ok, a, b, column)
    if not unpaired or len(ratios) > 1:
        return effect.paired(ratios)
    return effect.unpaired(*(list(np.log(positive(ok[ok["recipe"] == recipe][column]))) for recipe in (a, b)))


def log_ratios(ok: pd.DataFrame, a: str, b: str, column: str = "images_per_s") -> list[float]:
    """Return log(b / a) of a column (by default the speed), one value per pair of processes."""
    pairs = _pairs(ok.loc[positive(ok[column]).index], column, a, b)
    return list(np.log(pairs[b] / pairs[a]))


def positive(column: pd.Series) -> pd.Series:
    """Return the values that a ratio can be computed from: positive and finite."""
    return column[(column > 0) & (column < math.inf)]


def point_differences(ok: pd.DataFrame, a: str, b: str) -> list[float]:
    """Return test accuracy of b minus that of a in points, one per pair of trainings."""
    pairs = _pairs(ok[ok["epochs"] > 0], "test_accuracy", a, b)
    return list(100 * (pairs[b] - pairs[a]))


def _pairs(ok: pd.DataFrame, column: str, a: str, b: str) -> pd.DataFrame:
    """Return columns a and b, one row per pair with both values."""
    index = [ok[name] for name in PAIRED]
    wide = ok.set_index([*index, ok["recipe"].astype(str)])[column].unstack()
    return wide.reindex(columns=[a, b]).dropna()
