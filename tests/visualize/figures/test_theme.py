"""The look of recipes: one of its own for each, and the same whatever stands beside it."""

from __future__ import annotations

from ampbench.schema.recipes import RECIPE_NAMES
from ampbench.visualize.figures import theme


def test_every_built_in_recipe_has_a_style_of_its_own():
    assert tuple(theme.BUILT_IN) == RECIPE_NAMES


def test_no_two_recipes_look_alike():
    looks = theme.styles([*RECIPE_NAMES, "a", "b", "c", "d", "e"])
    assert len({look.colour for look in looks.values()}) == 15
    assert len({look.marker for look in looks.values()}) == 15


def test_a_built_in_recipe_keeps_its_colour_whatever_is_beside_it():
    assert theme.styles(["mine", "bf16"])["bf16"] == theme.styles(["fp32", "bf16"])["bf16"]
