"""The settings that were found, as a folder keeps them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ampbench.bench.store.choices import write_choices
from ampbench.schema.choices import Choice, read_choices
from ampbench.schema.files import CHOICES

BATCH = Choice(field="batch_size", value=256, reason="97 % of the best images/s", evidence="batch/", by="measurement")
RATE = Choice(field="learning_rate", value=0.1, reason="given", by="user")


def test_choices_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    write_choices(tmp_path, [BATCH, RATE])
    assert read_choices(tmp_path) == (BATCH, RATE)


def test_a_setting_that_is_chosen_again_replaces_the_first_in_its_place(tmp_path: Path) -> None:
    write_choices(tmp_path, [BATCH, RATE])
    again = dataclasses.replace(BATCH, value=512)
    write_choices(tmp_path, [again])
    assert read_choices(tmp_path) == (again, RATE)


def test_a_choice_for_one_recipe_stands_beside_that_for_another(tmp_path: Path) -> None:
    ours = [dataclasses.replace(BATCH, subject=recipe) for recipe in ("fp32", "bf16")]
    write_choices(tmp_path, ours)
    assert read_choices(tmp_path) == tuple(ours)


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"field": "batch_size"}]', '{"a": 1}'])
def test_a_damaged_file_holds_no_choice(text: str, tmp_path: Path) -> None:
    (tmp_path / CHOICES).write_text(text)
    assert read_choices(tmp_path) == ()
