"""Families of tests that are alike: some of them in `make test`, all of them in `make whole`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def thinned(family: Iterable[Any], *, kept: int) -> list[Any]:
    """Return the values of a parameter, or tuples of several, of which `make test` takes `kept`, evenly spread."""
    values = list(family)
    taken = {round(i * (len(values) - 1) / max(1, kept - 1)) for i in range(kept)}
    return [value if i in taken else _whole(value) for i, value in enumerate(values)]


def _whole(value: Any) -> Any:
    return pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.whole)
