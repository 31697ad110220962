"""The arithmetic, compared with scipy, with values computed by hand, and with simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from ampbench.visualize.stats import sample_size
from ampbench.visualize.stats import statistics as st
from ampbench.visualize.stats.effect import paired
from ampbench.visualize.stats.family import holm
from tests.support.student import t_interval


def test_the_interval_is_students():
    d = [0.10, 0.14, 0.12, 0.09, 0.15]
    found = paired(d)
    assert found.interval(0.05) == pytest.approx(scipy.stats.t.interval(0.95, 4, np.mean(d), scipy.stats.sem(d)))
    assert found.interval(0.05) == pytest.approx(t_interval(d))
    assert found.mean == pytest.approx(0.12)


def test_the_interval_of_two_pairs_by_hand():
    # mean 2, sd sqrt(2), se 1, t(0.975, 1) = 12.7062
    assert paired([1.0, 3.0]).interval(0.05) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_interval_covers_the_truth_in_95_of_100_simulated_experiments(n):
    rng = np.random.default_rng(n)
    low, high = t_interval(0.3 + 0.05 * rng.standard_normal((20_000, n)))
    assert 0.945 < np.mean((low < 0.3) & (high > 0.3)) < 0.955


def test_a_null_comparison_is_called_faster_or_slower_in_5_of_100():
    rng = np.random.default_rng(7)
    verdicts = [st.compare_speed(list(0.05 * rng.standard_normal(3))).verdict for _ in range(1_000)]
    assert np.mean([v in ("faster", "slower") for v in verdicts]) < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1_000)


def test_holm_keeps_a_family_of_nulls_at_5_of_100():
    rng = np.random.default_rng(8)
    false_alarms = 0
    for _ in range(1_000):
        p_values = [paired(d).p_difference for d in rng.standard_normal((6, 4))]
        false_alarms += any(p <= alpha for p, alpha in zip(p_values, holm(p_values), strict=True))
    assert false_alarms / 1_000 < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1_000)


def test_p_values_are_scipys():
    d = [0.11, -0.02, 0.08, 0.05]
    assert paired(d).p_difference == pytest.approx(scipy.stats.ttest_1samp(d, 0).pvalue)
    lower = scipy.stats.ttest_1samp(d, -0.3, alternative="greater").pvalue
    upper = scipy.stats.ttest_1samp(d, 0.3, alternative="less").pvalue
    assert paired(d).p_equivalence(0.3) == pytest.approx(max(lower, upper))


def test_holm_by_hand():
    # 0.01 at 0.05/3, then 0.03 > 0.05/2 fails, and 0.04 keeps that alpha though 0.04 < 0.05.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.025, 0.05 / 3, 0.025])
    assert holm([0.01]) == [0.05]
    assert holm([math.nan, 0.01, math.nan]) == [0.05, 0.05, 0.05]
    assert holm([]) == []


def test_holm_only_ever_widens_an_interval():
    rng = np.random.default_rng(1)
    family = [list(0.1 + 0.05 * rng.standard_normal(4)) for _ in range(5)]
    for d, alpha in zip(family, holm([paired(d).p_difference for d in family]), strict=True):
        alone, together = st.compare_speed(d), st.compare_speed(d, alpha)
        assert together.low <= alone.low
        assert together.high >= alone.high


@pytest.mark.parametrize(
    ("log_ratios", "verdict"),
    [
        ([0.001, 0.002, 0.0015], "same"),  # differs from 0, but is within 1 %
        ([0.50, 0.51, 0.49], "faster"),
        ([-0.50, -0.51, -0.49], "slower"),
        ([0.5, -0.2, 0.1], "can't tell"),
        ([0.0, 0.0], "same"),
        ([0.7, 0.7], "faster"),
        ([0.7], "can't tell"),
        ([], "can't tell"),
    ],
)
def test_the_one_rule_of_speed(log_ratios, verdict):
    assert st.compare_speed(log_ratios).verdict == verdict


def test_one_pair_has_no_interval_and_asks_for_two_more():
    ratio = st.compare_speed([math.log(1.6)])
    assert ratio.estimate == pytest.approx(1.6)
    assert math.isnan(ratio.low)
    assert math.isnan(ratio.high)
    assert math.isnan(ratio.detectable)
    assert ratio.more == 2
    assert str(ratio) == "1.60x (n = 1)"


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_an_effect_of_the_detectable_size_is_found_with_80_percent_power(n):
    rng = np.random.default_rng(n)
    effect = sample_size.detectable(1.0, n)
    low, high = t_interval(effect + rng.standard_normal((20_000, n)))
    assert np.mean((low > 0) | (high < 0)) == pytest.approx(0.8, abs=0.015)


def test_the_power_of_tost_is_the_one_that_is_simulated():
    rng = np.random.default_rng(2)
    for n in (3, 8, 10):
        sd = 0.2 * math.sqrt(2)
        d = sd * rng.standard_normal((20_000, n))
        low, high = t_interval(d, 0.10)
        assert sample_size.tost_power(n, sd) == pytest.approx(np.mean((low > -0.3) & (high < 0.3)), abs=0.012)


def test_three_seeds_screen_and_ten_settle():
    power = [sample_size.tost_power(n, 0.2 * math.sqrt(2)) for n in (3, 8, 10)]
    assert power == pytest.approx([0.15, 0.71, 0.85], abs=0.02)


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        ([0.05, -0.05, 0.02, -0.02], "equivalent"),
        ([0.15, 0.16, 0.14], "equivalent"),  # differs from 0, but is within the margin
        ([-2.0, -2.1, -1.9], "worse"),
        ([2.0, 2.1, 1.9], "better"),
        ([0.3, -0.4, 0.1], "can't tell"),
        ([0.0], "can't tell"),
    ],
)
def test_the_one_rule_of_accuracy(points, verdict):
    assert st.judge_difference(paired(points)).verdict == verdict


def test_more_seeds_are_asked_for_the_nearer_the_difference_is_to_the_margin():
    asked = [sample_size.more_seeds(mean, 0.2, 3) for mean in (0.0, 0.1)]
    assert None not in asked
    assert asked[0] < asked[1]
    assert sample_size.more_seeds(0.0, 5.0, 3) is None
    assert st.judge_difference(paired([0.01, 0.0, -0.01])).more is None


def test_as_many_more_seeds_as_asked_for_do_decide():
    rng = np.random.default_rng(3)
    n = 3 + sample_size.more_seeds(0.05, 0.25, 3)
    decided = [st.judge_difference(paired(list(0.05 + 0.25 * rng.standard_normal(n)))).verdict for _ in range(300)]
    assert np.mean([v != "can't tell" for v in decided]) > 0.75
