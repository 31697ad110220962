"""What a cell says of augmentation: settings by name, and refusals with their reason."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from ampbench.bench.plan.augmentation import KINDS, LEVELS, STAGES, Augmentation
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.recipe import RECIPES
from tests.support.experiments import GOOD


def test_settings_follow_a_name_and_a_lone_one_needs_no_key() -> None:
    assert Augmentation.parse("cutout:16") == Augmentation.parse("cutout") == Augmentation.parse("cutout:size=16")
    assert Augmentation.parse("rotation:7.5").settings == {"degrees": 7.5}
    assert Augmentation.parse("erasing:p=.5").settings == {"p": 0.5, "min_area": 0.02, "max_area": 0.2}


def test_a_strength_of_jitter_that_is_not_named_is_0_and_the_bare_name_is_study_s1s() -> None:
    assert list(Augmentation.parse("jitter").settings.values()) == [0.2, 0.2, 0.2, 0.1]
    assert list(Augmentation.parse("jitter:brightness=.1, contrast=.1, hue=.1").settings.values()) == [0.1, 0.1, 0, 0.1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rotaton", "is no augmentation. Did you mean 'rotation'?"),
        ("resize:224", "evaluation needs too: write resize = 224"),
        ("flip:p=1", "names 'p', no setting of flip; there is none"),
        ("crop:", "names '', no setting of crop"),
        ("rotation:angle=3", "names 'angle', no setting of rotation; there is degrees"),
        ("jitter:.2", "names '.2', no setting of jitter; there are brightness, contrast, saturation, hue"),
        ("jitter:hue=.1,hue=.2", "names 'hue', twice"),
        ("jitter:hue=.6", "sets hue to 0.6; it should be more than 0 and at most 0.5"),
        ("jitter:contrast=0", "more than 0"),
        ("rotation:nan", "more than 0"),
        ("rotation:wide", "sets degrees to 'wide', which is no number; write degrees=NUMBER"),
        ("cutout:7.5", "a whole number, more than 0"),
        ("erasing:min_area=.3", "at least 0.3 and at most 0.2 of an image; raise max_area or lower min_area"),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        Augmentation.parse(text)


def test_colour_after_erasing_is_refused_in_one_line_of_the_experiment() -> None:
    def read(augment: str) -> tuple[str, ...]:
        return parse_experiment(Path("trial.toml"), GOOD + augment).fixed["augment"]

    assert read('augment = ["flip", "rotation:10", "jitter", "cutout"]') == ("flip", "rotation:10", "jitter", "cutout")
    with pytest.raises(RequestError, match=r"puts 'jitter' after 'cutout', but colour comes before erasing; swap them"):
        read('augment = ["cutout", "jitter"]')
    with pytest.raises(RequestError, match=r"holds 'flop', which is no augmentation. Did you mean 'flip'"):
        read('augment = ["crop", "flop"]')
    assert [KINDS[name].stage for name in ("crop", "jitter", "cutout")] == list(STAGES)


def test_resize_is_no_part_of_the_id_where_nothing_is_resized() -> None:
    plain = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=8)
    assert "resize" not in plain._identity()
    assert plain.input_size == 32
    assert dataclasses.replace(plain, resize=224).input_size == 224


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_the_list_that_it_stands_for(level: str) -> None:
    read = lambda text: parse_experiment(Path("trial.toml"), GOOD + f"augment = {text}").fixed["augment"]  # noqa: E731
    assert read(f'"{level}"') == read(f'["{level}"]') == read(str(list(LEVELS[level]))) == LEVELS[level]


def test_the_levels_grow_from_one_to_the_next() -> None:
    minimal, balanced, heavy = (set(LEVELS[name]) for name in ("minimal", "balanced", "heavy"))
    assert minimal < balanced < heavy


@pytest.mark.parametrize(
    ("augment", "words"),
    [('["hevy"]', "Did you mean 'heavy'"), ('["flip", "heavy"]', "is a whole list by itself: write augment = 'heavy'")],
)
def test_a_level_among_others_is_refused_with_what_to_write(augment: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        parse_experiment(Path("trial.toml"), GOOD + f"augment = {augment}")


def test_no_level_of_that_name_is_said_in_one_line() -> None:
    with pytest.raises(RequestError, match=r"'hevy' is no level. Did you mean 'heavy'\? Or write a list"):
        parse_experiment(Path("trial.toml"), GOOD + 'augment = "hevy"')
