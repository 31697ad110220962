"""The settings that were found for a person, with their reasons, and what each rung says of all recipes."""

from __future__ import annotations

import dataclasses

import pytest

from ampbench.bench.store.choices import write_choices
from ampbench.schema.choices import Choice
from ampbench.visualize import report
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read import frame
from ampbench.visualize.show.chosen import lines_of
from tests.visualize.conftest import Folder, cell

BATCH = Choice(
    field="batch_size",
    value=128,
    reason="97 % of the best images/s; 256 gives 3 % more",
    evidence="b",
    by="measurement",
)
RATE = Choice(field="learning_rate", value=0.1, reason="given", by="user")
DEVICE = Choice(field="device", value="EPYC, 2 cores, 24 GiB", reason="bf16 (avx512_bf16), no fp16", by="measurement")


@pytest.fixture
def timed(tmp_path):
    """Three rounds of timing; bf16_amp is 1.85 times as fast, fp16 ran out of memory."""
    folder = Folder(tmp_path / "advise-VGG19")
    for number in range(3):
        for recipe in ("fp32", "bf16_amp"):
            folder.add(cell(recipe, epochs=0, round=number), num_parameters=20_040_522, num_classes=10)
    folder.add(cell("fp16", epochs=0), "oom")
    return folder.write()


def heads(path):
    results = frame.read(path)
    return {line.head: line.text for line in lines_of(results, standings(results, judge(results.cells)))}


def test_a_folder_without_choices_shows_none(timed) -> None:
    assert heads(timed) == {}


def test_each_setting_has_its_value_and_its_reason(timed) -> None:
    write_choices(timed, [DEVICE, BATCH])
    found = heads(timed)
    assert found["Batch"] == "128: 97 % of the best images/s; 256 gives 3 % more"
    assert found["Machine"] == "EPYC, 2 cores, 24 GiB: bf16 (avx512_bf16), no fp16"
    assert list(found)[:2] == ["Machine", "Model"]
    assert found["Model"] == "VGG19, 20,040,522 parameters, 3x32x32, 10 classes"


def test_a_value_of_a_person_says_so_and_needs_no_reason(timed) -> None:
    write_choices(timed, [RATE])
    assert heads(timed)["Rate"] == "0.1 (given)"


def test_a_choice_for_one_recipe_names_it(timed) -> None:
    write_choices(timed, [dataclasses.replace(BATCH, subject="fp32")])
    assert heads(timed)["Batch"].startswith("128 of fp32: ")


def test_the_speed_of_all_recipes_is_one_line(timed) -> None:
    write_choices(timed, [BATCH])
    assert heads(timed)["Speed"].startswith("fp16 oom; bf16_amp 1.")


def test_a_stage_that_was_left_out_says_why(timed) -> None:
    write_choices(timed, [Choice(field="start", value=None, reason="3 s are left", by="rule")])
    assert heads(timed)["Start"] == "3 s are left"


def test_a_stage_that_was_made_up_for_shows_what_it_found(timed) -> None:
    write_choices(timed, [Choice(field="speed", value=None, reason="3 s are left", by="rule")])
    assert heads(timed)["Speed"] == "3 s are left"
    write_choices(timed, [Choice(field="speed", value="speed.toml", reason="", by="rule")])
    assert heads(timed)["Speed"].startswith("fp16 oom; bf16_amp 1.")


def test_page_and_terminal_begin_with_them(timed) -> None:
    write_choices(timed, [DEVICE, BATCH])
    page = report.write_report(timed).read_text()
    assert "The settings that were found, and why" in page
    assert (timed / "summary.txt").read_text().startswith("Machine  EPYC, 2 cores, 24 GiB")
