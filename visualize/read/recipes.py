"""The order of recipes: the same in every table, legend and sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ampbench.schema.recipes import RECIPE_NAMES


def in_order(recipes: Iterable[str]) -> list[str]:
    """Return each recipe once: the built-in ones in their order, then the others by name, numbers in names by size."""
    names = set(recipes)
    return [name for name in RECIPE_NAMES if name in names] + sorted(names.difference(RECIPE_NAMES), key=_naturally)


def _naturally(name: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
