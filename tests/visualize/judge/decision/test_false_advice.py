"""The whole line from cells to an answer, on folders in which no recipe is better than another."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.noise import advised, folder_of_noise

FEW, MANY = 10, 100


@pytest.mark.parametrize("num", [FEW, pytest.param(MANY, marks=pytest.mark.whole)])
@pytest.mark.parametrize("num_rounds", [2, 3])
def test_of_equal_recipes_at_most_6_percent_are_advised(tmp_path, num_rounds, num):
    results = folder_of_noise(tmp_path / "x", num_rounds)
    assert np.mean(list(advised(results, num, np.random.default_rng(num_rounds)))) <= 0.06
