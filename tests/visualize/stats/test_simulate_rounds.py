"""What adaptive rounds are worth on known noise, and that the simulation of them judges as the verdicts do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ampbench.schema.rounds import LOOKS
from ampbench.visualize.judge.verdict.looks import Looks
from ampbench.visualize.stats.effect import paired
from ampbench.visualize.stats.family import Family
from ampbench.visualize.stats.simulate import Setting, log_ratios
from ampbench.visualize.stats.simulate_rounds import (
    AS_MUCH,
    SIGMAS,
    SIZES,
    TRUTHS,
    fixed_rounds,
    judged,
    run_to_the_end,
)
from ampbench.visualize.stats.statistics import judge_ratio
from tests.support.thinned import thinned

NUM = 1_500


@pytest.mark.parametrize("size", thinned(SIZES, kept=2))
def test_adaptive_rounds_raise_at_most_6_percent_false_alarms_and_their_intervals_cover_the_truth(size):
    for sigma, disturbed, shared in itertools.product(SIGMAS[::2], (False, True), (False, True)):
        setting = Setting(num_comparisons=size, num_pairs=LOOKS[-1], sigma=sigma, disturbed=disturbed, shared=shared)
        found = run_to_the_end(setting, NUM, np.random.default_rng(1))
        assert found.told <= 0.07, setting  # 6 % and an error of 1,500 families
        assert found.advised <= 0.04, setting
        assert found.covered >= 0.93, setting


def test_the_looks_share_what_one_look_has():
    """Without it, who stops at the first look that tells something is wrong three times as often."""
    d = log_ratios(Setting(num_comparisons=1, num_pairs=12), NUM, np.random.default_rng(2))
    told = np.zeros(NUM, dtype=bool)
    for look in LOOKS:
        mean, se = d[:, 0, :look].mean(axis=1), d[:, 0, :look].std(axis=1, ddof=1) / np.sqrt(look)
        told |= np.abs(mean) > {2: 12.71, 3: 4.303, 4: 3.182, 6: 2.571, 8: 2.365, 12: 2.201}[look] * se
    assert told.mean() > 0.12


@pytest.mark.parametrize("truth", [name for name, ratios in TRUTHS.items() if len(ratios) > 1])
def test_of_several_recipes_adaptive_rounds_take_fewer_processes_than_the_fixed_rounds_that_decide_as_much(truth):
    """A recipe alone is not among them: it has nobody to drop and pays for its looks."""
    ratios = TRUTHS[truth]
    setting = Setting(num_comparisons=len(ratios), num_pairs=LOOKS[-1], spread=0.03)
    found = run_to_the_end(setting, NUM, np.random.default_rng(3), ratios)
    fixed = fixed_rounds(setting, NUM, np.random.default_rng(3), ratios, found.undecided + AS_MUCH)
    assert found.processes < fixed * (len(ratios) + 1)
    assert found.rounds < LOOKS[-1]


@pytest.mark.parametrize("size", [1, 2, 9])
def test_the_simulation_judges_as_the_verdicts_do(size):
    rng = np.random.default_rng(4)
    d = log_ratios(Setting(num_comparisons=size, num_pairs=12, ratio=1.03), 1, rng)
    n = np.array([[LOOKS[i % 4] for i in range(size)]])
    found = judged(d, n)
    family = Family(name="", effects=tuple(paired(list(row[:k])) for row, k in zip(d[0], n[0], strict=True)))
    shares = Looks(are_planned=True).shares([LOOKS.index(k) + 1 for k in n[0]])
    alphas = family.alphas(lambda effect: effect.p_difference, shares)
    ratios = [judge_ratio(effect, alpha) for effect, alpha in zip(family.shrunken, alphas, strict=True)]
    assert np.exp(found.low[0]) == pytest.approx([ratio.low for ratio in ratios])
    assert np.exp(found.high[0]) == pytest.approx([ratio.high for ratio in ratios])
    assert [*found.told[0]] == [ratio.verdict in ("faster", "slower") for ratio in ratios]
