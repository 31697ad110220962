"""A process is far out by the spread of the whole folder, since two or three siblings hardly know their own."""

from __future__ import annotations

import numpy as np

from ampbench.visualize.stats.outlier import FAR, GROSS, z_scores


def test_a_round_20_times_slow_is_gross_among_siblings_of_any_number():
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 10):
        logs = 0.02 * rng.standard_normal((4, n))
        logs[1, 1] -= np.log(20)
        z = z_scores(logs.ravel(), np.repeat(np.arange(4), n)).reshape(4, n)
        assert z[1, 1] < -GROSS
        z[1, 1] = 0
        assert np.abs(z).max() < FAR


def test_of_two_siblings_the_slower_one_is_out():
    z = z_scores([0.0, -1.0, 0.0, 0.01, 0.0, 0.02], [0, 0, 1, 1, 2, 2])
    assert z[1] < -FAR
    assert z[0] == 0


def test_honest_noise_is_hardly_ever_far_out_and_never_gross():
    rng = np.random.default_rng(1)
    found = [z_scores(0.03 * rng.standard_normal(27), np.repeat(np.arange(9), 3)) for _ in range(300)]
    assert np.mean(np.abs(found) > FAR) < 0.01
    assert np.mean(np.abs(found) > GROSS) == 0


def test_less_than_one_percent_is_no_distance_at_all():
    assert np.abs(z_scores([0.0, 0.0, 0.0, 0.009], [0, 0, 0, 0])).max() < FAR


def test_a_value_without_siblings_is_not_judged():
    assert list(z_scores([5.0, 0.0], [0, 1])) == [0.0, 0.0]
    assert len(z_scores([], [])) == 0
