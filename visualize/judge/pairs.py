"""Pairs of processes, which share everything but the precision, and what a recipe changes within them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ampbench.visualize.stats import effect
from ampbench.visualize.stats.effect import Effect

PAIRED = ["group_id", "round", "environment_id"]
"""What two cells share to be a pair."""


def effect_of(ok: pd.DataFrame, a: str, b: str, column: str = "images_per_s", *, unpaired: bool = False) -> Effect:
    """Return the effect on log(b / a) of a column; over all processes where `unpaired` and fewer than two pair up."""
    ratios = log_ratios(ok, a, b, column)
    if not unpaired or len(ratios) > 1:
        return effect.paired(ratios)
    return effect.unpaired(*(list(np.log(positive(ok[ok["recipe"] == recipe][column]))) for recipe in (a, b)))


def log_ratios(ok: pd.DataFrame, a: str, b: str, column: str = "images_per_s") -> list[float]:
    """Return log(b / a) of a column, the speed unless told otherwise, one per pair of processes."""
    pairs = _pairs(ok.loc[positive(ok[column]).index], column, a, b)
    return list(np.log(pairs[b] / pairs[a]))


def positive(column: pd.Series) -> pd.Series:
    """Return the values that a ratio can be made of: positive and finite."""
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
