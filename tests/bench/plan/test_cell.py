from __future__ import annotations

import dataclasses
import json

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES, Recipe


def cell(**fields: object) -> Cell:
    given = {"model": "LeNet", "data": "digits", "precision": RECIPES["fp32"], "batch_size": 32}
    return Cell(**given | fields)  # type: ignore[arg-type]


def test_an_id_ignores_fields_at_their_default_so_that_new_fields_keep_old_ids() -> None:
    assert cell().cell_id == cell(epochs=0, momentum=0.9).cell_id
    assert cell(epochs=1).cell_id != cell().cell_id


def test_the_id_of_a_known_cell_never_changes() -> None:
    """A changed id would run finished experiments again: change it only with a reason in the CHANGELOG."""
    known = cell(model="VGG19", data="cifar10", batch_size=256, epochs=200, precision=RECIPES["fp16_amp_scaled"])
    assert known.cell_id == "e79b76e1b82494e6"


def test_a_loss_scale_equal_to_the_recipes_is_the_same_cell() -> None:
    scaled = RECIPES["fp16_amp_scaled"]
    assert cell(precision=scaled, loss_scale="dynamic").cell_id == cell(precision=scaled).cell_id
    assert cell(precision=scaled, loss_scale="static:8").cell_id != cell(precision=scaled).cell_id


def test_a_recipe_of_ones_own_is_part_of_the_id_by_its_content() -> None:
    mine = Recipe(name="mine", compute="bf16")
    assert cell(precision=mine).cell_id != cell(precision=dataclasses.replace(mine, tf32=True)).cell_id


def test_a_group_is_what_differs_only_in_precision_and_round() -> None:
    group = {c.group_id for c in (cell(), cell(precision=RECIPES["bf16_amp"]), cell(round=3))}
    assert len(group) == 1
    assert cell(seed=1).group_id not in group
    assert cell(batch_size=64).group_id not in group


def test_json_gives_the_same_cell_back() -> None:
    original = cell(precision=RECIPES["fp16_scaled"], augment=("crop",), milestones=(3, 4))
    assert Cell.from_json(json.loads(json.dumps(original.to_json()))) == original


def test_names_are_those_of_the_study_and_safe_for_a_file_system() -> None:
    study = cell(model="VGG19", data="cifar10", batch_size=256, epochs=200, precision=RECIPES["bf16_amp_scaled"])
    assert study.study_name == "Cifar10-VGG19-e200-b256-bf16-amp-lossscale"
    assert "/" not in cell(model="my.pkg:a/b").run_folder
