"""What a family lends and what it takes: the noise of the others, and a share of alpha."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ampbench.visualize.stats.effect import paired, unpaired
from ampbench.visualize.stats.family import Family, prior_df
from ampbench.visualize.stats.statistics import judge_ratio


def family(*groups, **over):
    """Return the family of some groups of differences."""
    return Family(name="x", effects=tuple(paired(d) for d in groups), **over)


def test_the_shrunken_variance_by_hand():
    # s2 = 2 and 8 with 1 degree of freedom each, mean 5; d0 = 1 / 2.5: (0.4 * 5 + 1 * 2) / 1.4 = 2.857
    first, second = family([1.0, 3.0], [2.0, 6.0]).shrunken
    assert [s.variance for s in (*first.spreads, *second.spreads)] == pytest.approx([4 / 1.4, 10 / 1.4])
    assert (first.df, first.n) == (pytest.approx(1.4), 2)
    assert first.se == pytest.approx(math.sqrt(4 / 1.4 / 2))


def test_the_mean_of_the_variances_counts_each_as_it_is_known():
    # s2 = 2 with 1 degree of freedom, 8 with 3: mean 6.5
    first, _ = family([1.0, 3.0], list(math.sqrt(8) * np.array([-1.0, 1.0, -1.0, 1.0]) * math.sqrt(3 / 4))).shrunken
    assert first.spreads[0].variance == pytest.approx((0.4 * 6.5 + 2) / 1.4)


def test_what_the_others_are_worth_is_a_small_constant():
    assert [prior_df(n) for n in (0, 1, 2, 6, 11, 1000)] == [0, 0, 0.4, 2, 4, 4]


def test_one_comparison_alone_is_students():
    (alone,) = family([0.1, 0.14, 0.12]).shrunken
    assert alone == paired([0.1, 0.14, 0.12])


def test_one_pair_borrows_nothing_and_is_no_member():
    found = family([0.5], [1.0, 3.0])
    lone, other = found.shrunken
    assert repr(lone) == repr(paired([0.5])), "its variance is not a number, which equals nothing"
    assert math.isnan(lone.interval(0.05)[0])
    assert other == paired([1.0, 3.0])
    assert found.alphas(lambda e: e.p_difference) == [0.05, 0.05]


def test_identical_pairs_divide_nothing_by_zero():
    same, apart = family([0.0, 0.0], [0.5, 0.5]).shrunken
    assert (judge_ratio(same).verdict, judge_ratio(apart).verdict) == ("same", "faster")
    assert family([0.0, 0.0]).alphas(lambda e: e.p_difference) == [0.05]
    first, second = family([0.5, 0.5], [0.4, 0.6]).shrunken
    assert 0 < first.se < second.se


def test_a_tenfold_slow_down_of_two_rounds_is_slower_in_a_family_and_alone():
    slow, noise = [math.log(0.09), math.log(0.10)], [0.01, -0.02]
    for groups in ([slow], [slow, noise], [slow, noise, [0.3, 0.36], [0.02, 0.01]]):
        found = family(*groups)
        ratio = judge_ratio(found.shrunken[0], found.alphas(lambda e: e.p_difference)[0])
        assert ratio.verdict == "slower"
        assert ratio.high < 1


def test_a_gross_outlier_lends_its_spread_to_nobody_and_keeps_it():
    hit, others = [0.0, math.log(20)], [[0.30, 0.31], [0.29, 0.33], [0.31, 0.30], [0.35, 0.34]]
    kept, *lent = family(hit, *others, lends=(False, True, True, True, True)).shrunken
    assert judge_ratio(kept).verdict == "can't tell"
    assert [judge_ratio(effect, 0.01).verdict for effect in lent] == ["faster"] * 4
    everyone = family(hit, *others).shrunken
    assert [judge_ratio(effect, 0.01).verdict for effect in everyone[1:]] == ["can't tell"] * 4


def test_a_family_of_outliers_alone_lends_all_the_same():
    assert family([0.0, 3.0], [3.0, 0.0], lends=(False, False)).shrunken[0].df == pytest.approx(1.4)


def test_no_accuracy_is_known_better_than_one_image_is_worth():
    (fine,) = family([0.0, 0.0, 0.0], least_variance=(0.28**2,)).shrunken
    assert fine.spreads[0].variance == pytest.approx(0.28**2)


def test_paired_and_unpaired_comparisons_learn_from_their_own_kind():
    rng = np.random.default_rng(0)
    sides = [[list(rng.standard_normal(3)) for _ in range(2)] for _ in range(2)]
    pairs = [[0.1, 0.1001], [0.2, 0.2001]]
    mixed = Family(name="x", effects=(*(unpaired(*s) for s in sides), *(paired(d) for d in pairs)))
    *welch, first, _ = mixed.shrunken
    assert first.se < 1e-3
    assert all(effect.se > 0.1 for effect in welch)
    assert welch[0].df > unpaired(*sides[0]).df


def test_looks_take_their_share_of_alpha_after_holm():
    d = [0.1, 0.3]
    once, thrice = (family(d, d).alphas(lambda e: e.p_difference, (n, n)) for n in (1, 3))
    assert thrice == pytest.approx([alpha / 3 for alpha in once])


def test_who_was_looked_at_more_often_comes_later_in_holms_order():
    strong, weak = [1.0, 1.001, 1.002], [1.0, 1.1, 0.9]
    alphas = family(strong, weak).alphas(lambda e: e.p_difference, (1, 2))
    assert alphas == pytest.approx([0.025, 0.025])
