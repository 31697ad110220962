"""The style of recipes: each has its own, which does not depend on the others in a figure."""

from __future__ import annotations

from ampbench.schema.recipes import RECIPE_NAMES
from ampbench.visualize.figures import theme


def test_every_built_in_recipe_has_a_style_of_its_own():
    assert tuple(theme.BUILT_IN) == RECIPE_NAMES


def test_no_two_recipes_look_alike():
    styles = theme.styles([*RECIPE_NAMES, "a", "b", "c", "d", "e"])
    assert len({style.colour for style in styles.values()}) == 15
    assert len({style.marker for style in styles.values()}) == 15


def test_a_built_in_recipe_keeps_its_colour_whatever_is_beside_it():
    assert theme.styles(["mine", "bf16"])["bf16"] == theme.styles(["fp32", "bf16"])["bf16"]
