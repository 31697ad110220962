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
    pairs = _pairs(ok, ok[column].where((ok[column] > 0) & (ok[column] < math.inf)), a, b)
    return [math.log(of_b / of_a) for of_a, of_b in pairs]


def positive(column: pd.Series) -> pd.Series:
    """Return the values that a ratio can be computed from: positive and finite."""
    return column[(column > 0) & (column < math.inf)]


def point_differences(ok: pd.DataFrame, a: str, b: str) -> list[float]:
    """Return test accuracy of b minus that of a in points, one per pair of trainings."""
    pairs = _pairs(ok, ok["test_accuracy"].where(ok["epochs"] > 0), a, b)
    return [100 * (of_b - of_a) for of_a, of_b in pairs]


def _pairs(ok: pd.DataFrame, values: pd.Series, a: str, b: str) -> list[tuple[float, float]]:
    """Return the values of a and b of each pair in which both are known."""
    sides: dict[str, dict[tuple[object, ...], float]] = {a: {}, b: {}}
    keys = zip(*(ok[name] for name in PAIRED), strict=True)  # a loop: reshaping a frame this small costs 30 times as much
    for key, recipe, value in zip(keys, ok["recipe"], values, strict=True):
        if recipe in sides and not math.isnan(value):
            sides[recipe][key] = value
    return [(value, sides[b][key]) for key, value in sides[a].items() if key in sides[b]]
