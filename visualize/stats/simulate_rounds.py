"""What adaptive rounds are worth: `python -m ampbench.visualize.stats.simulate_rounds` runs them on known noise.

Prints how often a family of equal recipes raises a false alarm and how often it is advised to train in one of them, by
whoever asks after each of `LOOKS` and stops what is decided; and, where recipes truly differ, how many processes that
takes, beside the fixed number of rounds that leaves as little undecided. Noise and families are those of `simulate`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.special import stdtr, stdtrit

from ampbench.schema.rounds import LOOKS
from ampbench.visualize.stats.effect import ALPHA, SAME
from ampbench.visualize.stats.family import ALONE_LOOKS, prior_df, shrunken_variance
from ampbench.visualize.stats.simulate import Floats, Setting, holm_rejects, log_ratios

SIZES = (1, 2, 3, 4, 8, 12, 16)
SIGMAS = (0.0, 0.3, 0.6)
TRUTHS: dict[str, tuple[float, ...]] = {
    "most far away": (0.05, 0.1, 0.2, 0.97),
    "slower, as on a CPU": (0.1, 0.15, 0.6, 0.7, 0.85, 0.95),
    "faster, as on a GPU": (0.5, 0.7, 0.9, 1.2, 1.5, 1.8, 1.9, 2.0),
    "one near, one far": (0.3, 1.1),
    "one near": (1.06,),
}
"""Families of recipes -> their true ratios to the reference."""
AS_MUCH = 0.01
"""More families that fixed rounds may leave undecided and still count as deciding as much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Many simulated families after some rounds; each array is (families, comparisons)."""

    low: Floats
    high: Floats
    """Ends of the interval that is printed, as logs."""
    told: NDArray[np.bool_]
    """Faster or slower."""
    reachable: NDArray[np.bool_]
    """Neither told nor the same, and not wholly below the fastest that is told to be faster."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AdaptiveRates:
    """What came of many families that were run to their end, as shares."""

    told: float
    """Families of which a comparison is told: false alarms where all ratios are 1."""
    advised: float
    """Families of which a recipe is told to be faster: false advice where all ratios are 1."""
    covered: float
    """Comparisons whose printed interval contains the truth."""
    undecided: float
    """Families in which something is open after the last look."""
    rounds: float
    """Mean over the comparisons."""
    processes: float
    """Mean over the families, those of the reference included: as many as its longest comparison has."""


def judged(d: Floats, n: NDArray[np.int64]) -> Judged:
    """Judge the first n pairs of each comparison as the verdicts do.

    Args:
        d: log ratios of (families, comparisons, pairs).
        n: pairs of each comparison that were run, of (families, comparisons).
    """
    there = np.arange(d.shape[2]) < n[..., None]
    mean = np.where(there, d, 0.0).sum(axis=2) / n
    variance = (np.where(there, d - mean[..., None], 0.0) ** 2).sum(axis=2) / (n - 1)
    d0 = prior_df(d.shape[1])
    pool = (variance * (n - 1)).sum(axis=1) / (n - 1).sum(axis=1)
    df, se = d0 + n - 1, np.sqrt(shrunken_variance(variance, n - 1, d0, pool[:, None]) / n)
    shares = np.searchsorted(LOOKS, n) + 1 + (ALONE_LOOKS if d.shape[1] == 1 else 0)
    p_values = 2 * stdtr(df, -np.abs(mean) / se) * shares
    half = stdtrit(df, 1 - _levels(p_values) / shares / 2) * se
    low, high = mean - half, mean + half
    told, same = (low > 0) | (high < 0), (low >= -SAME) & (high <= SAME)
    best = np.where((low > 0) & ~same, mean, -np.inf).argmax(axis=1)[:, None]
    is_faster = np.take_along_axis((low > 0) & ~same, best, 1)
    bar = np.where(is_faster, np.take_along_axis(low, best, 1), -np.inf)
    return Judged(low=low, high=high, told=told & ~same, reachable=~told & ~same & (high >= bar))


def run_to_the_end(setting: Setting, num: int, rng: np.random.Generator, ratios: Sequence[float] = ()) -> AdaptiveRates:
    """Run `num` simulated families with adaptive rounds; `ratios` are the true ones, by default that of the setting."""
    truth = np.log(ratios or [setting.ratio] * setting.num_comparisons)
    d = log_ratios(setting, num, rng) + truth[None, :, None]
    n = np.full(d.shape[:2], LOOKS[0])
    for _ in LOOKS:
        found = judged(d, n)
        further = found.reachable & (n < LOOKS[-1])
        n = np.where(further, np.take(LOOKS, np.minimum(np.searchsorted(LOOKS, n) + 1, len(LOOKS) - 1)), n)
    found = judged(d, n)
    return AdaptiveRates(
        told=float(found.told.any(axis=1).mean()),
        advised=float((found.told & (found.low > 0)).any(axis=1).mean()),
        covered=float(((found.low <= truth) & (truth <= found.high)).mean()),
        undecided=float(found.reachable.any(axis=1).mean()),
        rounds=float(n.mean()),
        processes=float((n.sum(axis=1) + n.max(axis=1)).mean()),
    )


def fixed_rounds(
    setting: Setting, num: int, rng: np.random.Generator, ratios: Sequence[float], open_at_most: float
) -> int:
    """Return how many rounds of everything, asked about once, leave no more families undecided; at most 12."""
    d = log_ratios(setting, num, rng) + np.log(ratios)[None, :, None]
    for n in range(LOOKS[0], LOOKS[-1]):
        mean, variance = d[..., :n].mean(axis=2), d[..., :n].var(axis=2, ddof=1)
        d0 = prior_df(len(ratios))
        se = np.sqrt(shrunken_variance(variance, n - 1, d0, variance.mean(axis=1, keepdims=True)) / n)
        half = stdtrit(d0 + n - 1, 1 - _levels(2 * stdtr(d0 + n - 1, -np.abs(mean) / se)) / 2) * se
        low, high = mean - half, mean + half
        told, same = (low > 0) | (high < 0), (low >= -SAME) & (high <= SAME)
        bar = np.where((low > 0) & ~same, low, -np.inf).max(axis=1, keepdims=True)
        if (~told & ~same & (high >= bar)).any(axis=1).mean() <= open_at_most:
            return n
    return LOOKS[-1]


def _levels(p_values: Floats) -> Floats:
    """Return the alpha of each member of each row: `family.holm` for many families at once."""
    num = p_values.shape[1]
    steps = ALPHA / (num - np.arange(num))
    rejected = holm_rejects(p_values)
    count = rejected.sum(axis=1, keepdims=True)
    rank = np.argsort(np.argsort(p_values, axis=1), axis=1)
    levels: Floats = np.where(rejected, steps[rank], steps[np.minimum(count, num - 1)])
    return levels


def of_noise(num: int, rng: np.random.Generator) -> Table:
    """Return false alarms, false advice, coverage and rounds for every family size, from best to worst."""
    table = Table("comparisons", "false alarms", "false advice", "coverage", "rounds")
    for size in SIZES:
        found = [
            run_to_the_end(
                Setting(num_comparisons=size, num_pairs=LOOKS[-1], sigma=sigma, disturbed=disturbed, shared=shared),
                num,
                rng,
            )
            for sigma, disturbed, shared in itertools.product(SIGMAS, (False, True), (False, True))
        ]
        shares = [sorted(100 * getattr(one, name) for one in found) for name in ("told", "advised", "covered")]
        spans = [f"{span[0]:.1f}–{span[-1]:.1f}" for span in shares]
        table.add_row(f"{size}", *spans, f"{np.mean([one.rounds for one in found]):.1f}")
    return table


def of_truth(num: int, rng: np.random.Generator) -> Table:
    """Return how many processes adaptive rounds take where recipes differ, and as many fixed rounds as decide it."""
    table = Table(
        "recipes", "spread", "undecided", "rounds", "processes", "fixed rounds", "processes", "adaptive / fixed"
    )
    for (name, ratios), spread in itertools.product(TRUTHS.items(), (0.01, 0.03)):
        setting = Setting(num_comparisons=len(ratios), num_pairs=LOOKS[-1], spread=spread)
        found = run_to_the_end(setting, num, rng, ratios)
        fixed = fixed_rounds(setting, num, rng, ratios, found.undecided + AS_MUCH)
        processes = fixed * (len(ratios) + 1)
        table.add_row(
            name,
            f"{spread:.0%}",
            f"{found.undecided:.0%}",
            f"{found.rounds:.1f}",
            f"{found.processes:.1f}",
            f"{fixed}",
            f"{processes}",
            f"{found.processes / processes:.2f}",
        )
    return table


if __name__ == "__main__":
    families = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    console, generator = Console(), np.random.default_rng(0)
    console.print(f"{families:,} simulated families each, in per cent; nominal: false alarms 5, coverage 95 or more")
    console.print(of_noise(families, generator))
    console.print(of_truth(families, generator))
