"""The command line of an advice: what is typed becomes a request."""

from __future__ import annotations

import pytest

from ampbench.bench import advise


@pytest.mark.parametrize("typed", ["fp32,bf16", "fp32, bf16,", "fp32,bf16,fp32"])
def test_recipes_are_the_names_between_commas_each_once(typed: str) -> None:
    assert advise._recipes(typed) == ("fp32", "bf16")
