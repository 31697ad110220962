"""Counts and sizes in words."""

from __future__ import annotations

import pytest

from ampbench.bench.plan.words import counted, gib


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [
        (0, "0 MiB"),
        (4.21 * 2**20, "4.21 MiB"),
        (2**30, "1 GiB"),
        (23.56 * 2**30, "23.6 GiB"),
        (99.96 * 2**30, "100 GiB"),
        (637.2 * 2**30, "637 GiB"),
        (2048 * 2**30, "2,048 GiB"),
    ],
)
def test_a_size_has_three_digits_or_all_before_the_point(num_bytes: float, said: str) -> None:
    assert gib(num_bytes) == said


def test_one_is_singular() -> None:
    assert [counted(n, "core") for n in (0, 1, 2)] == ["0 cores", "1 core", "2 cores"]
