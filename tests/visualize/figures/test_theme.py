"""The style of recipes: each has its own, which does not depend on the others in a figure and no colour vision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ampbench.schema.recipes import RECIPE_NAMES
from ampbench.visualize.figures import theme

VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ]),
}  # fmt: skip
"""Of linear RGB, at severity 1 (Machado, Oliveira & Fernandes, 2009, table 1)."""
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = TO_XYZ.sum(axis=1)


def linear(colour: str) -> np.ndarray:
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    t = TO_XYZ @ rgb / WHITE
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a: str, b: str, vision: str) -> float:
    """Return CIE76's distance of two colours as someone with this vision sees them; 2.3 is just noticed."""
    seen = [lab(np.clip(VISIONS[vision] @ linear(colour), 0, 1)) for colour in (a, b)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_every_built_in_recipe_has_a_style_of_its_own():
    assert tuple(theme.BUILT_IN) == RECIPE_NAMES


def test_no_two_recipes_look_alike():
    styles = theme.styles([*RECIPE_NAMES, "a", "b", "c", "d", "e"])
    assert len({style.colour for style in styles.values()}) == 15
    assert len({style.marker for style in styles.values()}) == 15


def test_a_built_in_recipe_keeps_its_colour_whatever_is_beside_it():
    assert theme.styles(["mine", "bf16"])["bf16"] == theme.styles(["fp32", "bf16"])["bf16"]


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_recipes_are_told_apart_by_colour_and_those_with_one_hatch_more_easily(vision):
    for a, b in itertools.combinations(theme.BUILT_IN.values(), 2):
        needed = 18 if a.hatch == b.hatch else 12
        assert distance(a.colour, b.colour, vision) >= needed, (a, b)


def test_the_old_grey_and_pink_would_not_pass():
    assert min(distance("#8a8a8a", "#cc79a7", vision) for vision in VISIONS) < 12


@pytest.mark.parametrize("style", theme.styles([*RECIPE_NAMES, "a", "b", "c", "d", "e"]).values())
def test_every_recipe_has_a_contrast_of_three_with_white(style):
    luminance = TO_XYZ[1] @ linear(style.colour)
    assert 1.05 / (luminance + 0.05) >= 3


@pytest.mark.parametrize("colour", ["#000000", "#ffffff", "#777777", "#7fb0d8", "#c0392b", "#e9c46a", "#16365c"])
def test_a_number_on_a_bar_has_a_contrast_of_four_and_a_half(colour):
    on, ink = (TO_XYZ[1] @ linear(c) + 0.05 for c in (colour, theme.ink_on(to_rgb(colour))))
    assert max(on, ink) / min(on, ink) >= 4.5
