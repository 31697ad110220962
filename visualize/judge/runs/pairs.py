"""Pairs of processes that differ only in the precision, and the effect of a recipe within the pairs.

The cells of a pair have the same settings, seed and round, and ran under the same conditions: machine, versions,
environment switches, power cap and method. A ratio of cells whose conditions differ would measure the conditions too.
They also did the same work: a data set in a folder, or a network of one's own, may change under the same name.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ampbench.visualize.stats import effect
from ampbench.visualize.stats.effect import Effect

SAME_CELL = ("group_id", "round")
"""Columns in which two cells are equal that differ only in the precision."""
# fmt: off
CONDITIONS = {
    "machine": "machine", "cpu": "CPU", "num_cores": "number of CPU cores", "power_cap_w": "power cap",
    "driver": "driver", "cuda": "CUDA version", "cudnn": "cuDNN version", "torch": "torch version",
    "python": "Python version", "switches": "environment switches", "method_version": "method",
}
# fmt: on
"""Columns that say under which conditions a cell ran -> their names in a sentence."""
COMPANY = {"exclusive": "setting of --exclusive"}
"""The same, of columns that older records lack: what is not known is no difference."""
WORK = {"data_sha256": "data set", "num_parameters": "number of parameters"}
"""Columns that say what was trained on what -> their names in a sentence."""
ALIKE = CONDITIONS | COMPANY | WORK
"""What cells of one pair have in common besides their settings."""
PAIR = "pair"
"""Column: the cells of one pair have the same number."""


def numbered(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the cells with the column `pair`; older records lack some of the conditions."""
    known = [name for name in (*SAME_CELL, *ALIKE, "environment_id") if name in cells]
    for name in (*COMPANY, *WORK):  # the instrument of one run may have failed: what is not known is no difference
        if name in cells and cells[name].isna().any() and not cells[name].isna().all():
            cells = cells.assign(
                **{name: cells.groupby(list(SAME_CELL), dropna=False, sort=False)[name].transform(_filled)}
            )
    # The group of a grouping by many columns costs as much for one comparison as for a whole folder.
    return cells.assign(**{PAIR: cells.groupby(known, dropna=False, sort=False).ngroup()})


def _filled(column: pd.Series) -> pd.Series:
    known = column.dropna().unique()
    return column.fillna(known[0]) if len(known) == 1 else column


def effect_of(ok: pd.DataFrame, a: str, b: str, column: str = "images_per_s", *, unpaired: bool = False) -> Effect:
    """Return the effect on log(b / a) of a column: over pairs, or all processes if `unpaired` and below 2 pairs."""
    ratios = log_ratios(ok, a, b, column)
    if not unpaired or len(ratios) > 1:
        return effect.paired(ratios)
    sides = (list(np.log(positive(ok[ok["recipe"] == recipe][column]))) for recipe in (a, b))
    return effect.unpaired(*sides)


def log_ratios(ok: pd.DataFrame, a: str, b: str, column: str = "images_per_s") -> list[float]:
    """Return log(b / a) of a column (by default the speed), one value per pair of processes."""
    pairs = _pairs(ok, ok[column].where((ok[column] > 0) & (ok[column] < math.inf)), a, b)
    return [math.log(of_b / of_a) for of_a, of_b in pairs.values()]


def positive(column: pd.Series) -> pd.Series:
    """Return the values that a ratio can be computed from: positive and finite."""
    values = column.to_numpy(dtype=float)
    return column[(values > 0) & (values < math.inf)]


def point_differences(ok: pd.DataFrame, a: str, b: str) -> list[float]:
    """Return test accuracy of b minus that of a in points, one per seed: rounds of one seed train the same again."""
    own = ok if PAIR in ok else numbered(ok)
    pairs = _pairs(own, accuracies(own).where(own["epochs"] > 0), a, b)
    seed_of = dict(zip(own[PAIR], own["group_id"], strict=True))
    of_seed: dict[str, list[float]] = {}
    for key, (of_a, of_b) in pairs.items():
        of_seed.setdefault(seed_of[key], []).append(100 * (of_b - of_a))
    return [sum(values) / len(values) for values in of_seed.values()]


def accuracies(cells: pd.DataFrame) -> pd.Series:
    """Return the test accuracy of each cell; NaN where it is no share."""
    return cells["test_accuracy"].where(cells["test_accuracy"].between(0, 1))


def _pairs(ok: pd.DataFrame, values: pd.Series, a: str, b: str) -> dict[int, tuple[float, float]]:
    """Return the number of each pair in which both are known, and the values of a and b."""
    sides: dict[str, dict[int, float]] = {a: {}, b: {}}
    own = ok if PAIR in ok else numbered(ok)
    # A loop: reshaping a frame this small costs 30 times as much.
    for key, recipe, value in zip(own[PAIR], own["recipe"], values, strict=True):
        if recipe in sides and not math.isnan(value):
            sides[recipe][key] = value
    return {key: (value, sides[b][key]) for key, value in sides[a].items() if key in sides[b]}
