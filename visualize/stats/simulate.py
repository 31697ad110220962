"""What the verdicts on a speed are worth: `python -m ampbench.visualize.stats.simulate` tries them on known noise.

Prints how often a family of comparisons raises a false alarm, how often the 95 % interval covers the truth, and how
often a true difference is told, for families of 1 to 48 comparisons with 2 to 10 pairs each. The plain t-test stands
beside it: the same without what a family lends. The tests hold the same figures at fewer families.

The log of a process's speed is normal. Its spread differs between comparisons (log-normal, e^sigma). On a disturbed
machine one pair in twenty is hit by a slow-down of 2 to 20 %, and the speed walks from process to process, whose order
rotates from round to round. Either each comparison has a reference of its own, as with many models, or eight recipes
share the reference's processes, as in a folder of one model.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import stdtr, stdtrit

from ampbench.schema.margins import MARGIN_POINTS, RUN_SD_POINTS
from ampbench.visualize.stats.effect import ALPHA
from ampbench.visualize.stats.family import prior_df, shrunken_variance

Floats: TypeAlias = NDArray[np.float64]

SIZES = (1, 2, 4, 8, 12, 16, 48)
PAIRS = (2, 3, 5, 10)
SIGMAS = (0.0, 0.3, 0.6)
RECIPES = 8
"""Recipes that share a reference."""
HIT, SLOWER = 0.025, (0.02, 0.2)
"""Share of the processes that are slowed down on a disturbed machine, and by how much."""
WALK = 0.2
"""Step of the walk from process to process, in spreads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A family under a truth."""

    num_comparisons: int
    num_pairs: int
    sigma: float = 0.3
    """Of the logs of the spreads of the comparisons."""
    disturbed: bool = False
    shared: bool = True
    """Whether eight recipes share the processes of the reference."""
    spread: float = 0.03
    """Median spread of a process, as a share."""
    ratio: float = 1.0
    """The true one of every comparison."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """What came of many simulated families, as shares; the half-width is of the log ratio."""

    told: float
    """Families in which a comparison is told in spite of a ratio of 1: false alarms, where that is the truth."""
    covered: float
    """Comparisons whose 95 % interval, at the whole alpha, contains the truth."""
    power: float
    """Comparisons that are told in the right direction."""
    half_width: float
    """Median over the comparisons."""


def log_ratios(setting: Setting, num: int, rng: np.random.Generator) -> Floats:
    """Return log(recipe / reference) of (num, comparisons, pairs)."""
    g, n, spread = setting.num_comparisons, setting.num_pairs, setting.spread
    per = min(g, RECIPES) if setting.shared else 1
    num_references = math.ceil(g / per)
    own = spread * np.exp(setting.sigma * rng.standard_normal((num, g)))
    its = spread * np.exp(setting.sigma * rng.standard_normal((num, num_references))) if setting.shared else own
    recipe = own[..., None] * rng.standard_normal((num, g, n))
    reference = its[..., None] * rng.standard_normal((num, num_references, n))
    if setting.disturbed:
        for processes in (recipe, reference):
            processes -= (rng.random(processes.shape) < HIT) * rng.uniform(*SLOWER, processes.shape)
        steps = WALK * spread * rng.standard_normal((num, num_references, n * (per + 1)))
        walk = np.cumsum(steps, axis=-1).reshape(num, num_references, n, per + 1)
        for k, place in itertools.product(range(n), range(per)):
            mine = recipe[:, place::per, k]  # the recipes at one place of the order, of all references
            mine += walk[:, : mine.shape[1], k, (place + k) % (per + 1)]
        for k in range(n):
            reference[:, :, k] += walk[:, :, k, (per + k) % (per + 1)]
    difference: Floats = recipe - np.repeat(reference, per, axis=1)[:, :g] + math.log(setting.ratio)
    return difference


def rates(setting: Setting, num: int, rng: np.random.Generator, *, lent: bool = True) -> Rates:
    """Judge `num` simulated families; without `lent` each comparison by its own spread alone."""
    d = log_ratios(setting, num, rng)
    mean, variance, n = d.mean(axis=2), d.var(axis=2, ddof=1), setting.num_pairs
    d0 = prior_df(setting.num_comparisons) if lent else 0.0
    shrunken = shrunken_variance(variance, n - 1, d0, variance.mean(axis=1, keepdims=True))
    df, se = d0 + n - 1, np.sqrt(shrunken / n)
    rejected = holm_rejects(2 * stdtr(df, -np.abs(mean) / se))
    half = stdtrit(df, 1 - ALPHA / 2) * se
    truth = math.log(setting.ratio)
    return Rates(
        told=float(rejected.any(axis=1).mean()),
        covered=float((np.abs(mean - truth) <= half).mean()),
        power=float((rejected & (np.sign(mean) == np.sign(truth))).mean()),
        half_width=float(np.median(half)),
    )


def equivalent(num_comparisons: int, num_seeds: int, num: int, rng: np.random.Generator) -> float:
    """Return the chance that a recipe whose accuracy is truly equal comes out `equivalent`, at the usual run SD."""
    setting = Setting(num_comparisons=num_comparisons, num_pairs=num_seeds, sigma=0.0, spread=RUN_SD_POINTS)
    d = log_ratios(setting, num, rng)
    variance, df = d.var(axis=2, ddof=1), prior_df(num_comparisons) + num_seeds - 1
    shrunken = shrunken_variance(
        variance, num_seeds - 1, prior_df(num_comparisons), variance.mean(axis=1, keepdims=True)
    )
    se = np.sqrt(shrunken / num_seeds)
    return float(holm_rejects(stdtr(df, (np.abs(d.mean(axis=2)) - MARGIN_POINTS) / se)).mean())


def holm_rejects(p_values: Floats) -> NDArray[np.bool_]:
    """Return which of each row's p-values Holm rejects: `family.holm` for many families at once."""
    order = np.argsort(p_values, axis=1)
    steps = ALPHA / (p_values.shape[1] - np.arange(p_values.shape[1]))
    passed = np.logical_and.accumulate(np.take_along_axis(p_values, order, 1) <= steps, axis=1)
    rejected = np.zeros_like(passed)
    np.put_along_axis(rejected, order, passed, 1)
    return rejected


def of_noise(num: int, rng: np.random.Generator) -> Table:
    """Return false alarms and coverage in per cent for every family size and number of pairs, from best to worst."""
    table = Table(
        "comparisons", "pairs", "false alarms: plain t", "with a family", "coverage: plain t", "with a family"
    )
    for size, pairs in itertools.product(SIZES, PAIRS):
        settings = [
            Setting(num_comparisons=size, num_pairs=pairs, sigma=sigma, disturbed=disturbed, shared=shared)
            for sigma, disturbed, shared in itertools.product(SIGMAS, (False, True), (False, True))
        ]
        plain, lent = ([rates(one, num, rng, lent=is_lent) for one in settings] for is_lent in (False, True))
        table.add_row(
            f"{size}",
            f"{pairs}",
            *(_span([found.told for found in way]) for way in (plain, lent)),
            *(_span([found.covered for found in way]) for way in (plain, lent)),
        )
    return table


def of_truth(num: int, rng: np.random.Generator) -> Table:
    """Return how often true differences are told."""
    table = Table("comparisons", "pairs", "spread", "truth", "told, plain t", "told", "±, plain t", "±")
    for (ratio, spread), size, pairs in itertools.product(
        ((0.12, 0.03), (0.7, 0.03), (1.02, 0.005)), (1, 4, 16), PAIRS[:3]
    ):
        setting = Setting(num_comparisons=size, num_pairs=pairs, ratio=ratio, spread=spread)
        plain, lent = (rates(setting, num, rng, lent=is_lent) for is_lent in (False, True))
        table.add_row(
            f"{size}",
            f"{pairs}",
            f"{spread:.1%}",
            f"{ratio:g}",
            *(f"{found.power:.0%}" for found in (plain, lent)),
            *(f"{math.expm1(found.half_width):.1%}" for found in (plain, lent)),
        )
    return table


def _span(shares: Iterable[float]) -> str:
    found = sorted(shares)
    return f"{100 * found[0]:.1f}–{100 * found[-1]:.1f}"


if __name__ == "__main__":
    families = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    console, generator = Console(), np.random.default_rng(0)
    console.print(f"{families:,} simulated families each, in per cent; nominal: false alarms 5, coverage 95")
    console.print(of_noise(families, generator))
    console.print(of_truth(families, generator))
