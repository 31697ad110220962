"""Processes without a partner: what they are, and whether they tell another story than the pairs do."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ampbench.schema.margins import RUN_SD_POINTS
from ampbench.visualize.judge.runs.pairs import ALIKE, PAIR, SAME_CELL, positive
from ampbench.visualize.read.words import count
from ampbench.visualize.stats.effect import SAME, Spread

SURE = 0.01
"""Alpha at which the unpaired processes of a recipe are said to differ from its paired ones."""
CHECKSUM = 8
"""Characters of a checksum that are shown."""
USUAL_DF = 4
"""Degrees of freedom that the usual spread is worth, beside those of the processes themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpaired:
    """The processes of two recipes that ran to their end and form no pair, so that no ratio contains them."""

    recipe: str
    reference: str
    num_recipe: int
    """Processes of the recipe without a partner."""
    num_reference: int
    """Processes of the reference without a partner."""
    because: str
    """Why they have none, as in `no cell of fp32 with their seed and round ran to its end`."""
    differs: tuple[str, ...] = ()
    """In what the unpaired processes of a recipe lie outside the spread of its paired ones, in words; empty if they
    agree. Where it is not empty, no advice may rest on the pairs alone."""

    def __str__(self) -> str:
        parts = [
            f"{count(n, 'process', 'processes')} of {name}"
            for n, name in ((self.num_recipe, self.recipe), (self.num_reference, self.reference))
            if n
        ]
        verb = "has" if self.num_recipe + self.num_reference == 1 else "have"
        said = f"{' and '.join(parts)} {verb} no partner, because {self.because}"
        return said + (f"; {' and '.join(self.differs)}" if self.differs else "")


def unpaired_of(ok: pd.DataFrame, reference: str, recipe: str) -> Unpaired | None:
    """Return what has no partner among the cells of one subject and batch size; None if all have one.

    Args:
        ok: cells that ran to their end, with the column `pair`; those of other recipes only lend their spread.
        reference: the recipe that is compared with.
        recipe: the recipe that is compared.
    """
    numbers = [set(ok.loc[ok["recipe"] == name, PAIR]) for name in (recipe, reference)]
    if numbers[0] == numbers[1]:
        return None
    shared = numbers[0] & numbers[1]
    own, other = (ok[ok["recipe"] == name] for name in (recipe, reference))
    alone, left = (rows[~rows[PAIR].isin(shared)] for rows in (own, other))
    differs = [
        words
        for name, rows, lonely in ((recipe, own, alone), (reference, other, left))
        for words in _differences(name, rows, lonely, ok)
    ]
    return Unpaired(
        recipe=recipe,
        reference=reference,
        num_recipe=len(alone),
        num_reference=len(left),
        because=_because(alone, left, recipe, reference),
        differs=tuple(differs),
    )


def _because(alone: pd.DataFrame, left: pd.DataFrame, recipe: str, reference: str) -> str:
    """Say why: the conditions differ, or the other recipe has no such cell."""
    met = alone.merge(left, on=list(SAME_CELL), suffixes=("", " of reference"))
    apart = [
        f"{words} ({_values(met[column])} for {recipe}, {_values(met[f'{column} of reference'])} for {reference})"
        for column, words in ALIKE.items()
        if column in met and not met[column].equals(met[f"{column} of reference"])
    ]
    if apart:
        return f"they ran with another {' and another '.join(apart)}"
    lacking = reference if len(alone) else recipe
    return f"no cell of {lacking} with the same seed and round ran to its end"


def _values(column: pd.Series) -> str:
    return " / ".join(dict.fromkeys(_short(value) for value in column))


def _short(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.15g}"
    text = "none" if pd.isna(value) else str(value)
    return text[:CHECKSUM] if re.fullmatch(r"[0-9a-f]{32,}", text) else text


def _differences(name: str, rows: pd.DataFrame, lonely: pd.DataFrame, ok: pd.DataFrame) -> Iterator[str]:
    """Yield in what the unpaired processes of a recipe differ from its paired ones."""
    together = rows.drop(lonely.index)
    speeds, alone = (np.log(positive(some["images_per_s"])) for some in (together, lonely))
    if _apart(speeds, alone, _spread(np.log(positive(ok["images_per_s"])), ok, SAME)):
        times = math.exp(alone.mean() - speeds.mean())
        yield f"the unpaired ones of {name} run {times:.2f} times as fast as the others"
    points, alone = (100 * some.loc[some["epochs"] > 0, "test_accuracy"].dropna() for some in (together, lonely))
    if _apart(points, alone, _spread(100 * ok.loc[ok["epochs"] > 0, "test_accuracy"].dropna(), ok, RUN_SD_POINTS)):
        yield f"the unpaired ones of {name} reach {alone.mean():.2f} % test accuracy, the others {points.mean():.2f} %"


def _spread(values: pd.Series, ok: pd.DataFrame, least: float) -> Spread:
    """Return how far the paired processes lie from the mean of their recipe, over all recipes; at least `least`.

    A process is paired here if any other recipe shares its pair: the lonely ones, which are judged by this spread,
    would widen it.
    """
    own = ok.loc[values.index]
    values = values[own.groupby(PAIR)[PAIR].transform("size") > 1]
    by_recipe = values.groupby(own.loc[values.index, "recipe"].astype(str))
    df = len(values) - by_recipe.ngroups
    variance = float(((values - by_recipe.transform("mean")) ** 2).sum()) / df if df else 0.0
    return Spread(variance=max(variance, least**2), df=df + USUAL_DF, n=len(values))


def _apart(paired: Sequence[float], lonely: Sequence[float], spread: Spread) -> bool:
    """Whether the mean of the lonely values, or one of them, lies outside the spread around the paired ones."""
    n, k = len(paired), len(lonely)
    if not n or not k:
        return False
    away = np.asarray(lonely) - np.mean(paired)
    farthest = math.sqrt(spread.variance) * float(stdtrit(spread.df, 1 - SURE / 2 / (k + 1)))
    mean_is_far = abs(away.mean()) > farthest * math.sqrt(1 / n + 1 / k)
    return bool(mean_is_far or (np.abs(away) > farthest * math.sqrt(1 + 1 / n)).any())
