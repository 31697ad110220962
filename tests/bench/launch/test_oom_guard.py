"""What an out-of-memory tells of other cells: of the same step with a batch as large or larger, and of no other."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.plan.step_memory import IRRELEVANT_FIELDS, step_memory_key

CELL = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64, epochs=3)

SAME_STEP = {
    "seed": 1, "round": 2, "epochs": 7, "learning_rate": 0.5, "schedule": "warmup_multistep", "warmup_epochs": 2,
    "milestones": (1, 2),
}  # fmt: skip
OTHER_STEP = {
    "weight_decay": 0.0, "momentum": 0.0, "grad_clip": 1.0, "ema_decay": 0.9, "optimizer": "adam", "accumulation": 2,
    "image_size": 64, "channels_last": False, "precision": RECIPES["bf16_amp"], "loss_scale": "static:8",
}  # fmt: skip


def guard() -> OomGuard:
    guard = OomGuard()
    guard.observe(CELL, "oom")
    return guard


def test_every_field_that_does_not_count_is_one_of_a_cell() -> None:
    assert set(IRRELEVANT_FIELDS) <= {field.name for field in dataclasses.fields(Cell)}
    assert SAME_STEP.keys() == set(IRRELEVANT_FIELDS)


@pytest.mark.parametrize("field", SAME_STEP)
def test_cells_that_differ_in_such_a_field_take_the_same_step(field: str) -> None:
    other = replace(CELL, **{field: SAME_STEP[field]})
    assert step_memory_key(other.settings) == step_memory_key(CELL.settings)
    assert guard().implies(other)


@pytest.mark.parametrize("field", OTHER_STEP)
def test_any_other_field_makes_another_step(field: str) -> None:
    other = replace(CELL, **{field: OTHER_STEP[field]})
    assert step_memory_key(other.settings) != step_memory_key(CELL.settings)
    assert guard().implies(other) is None


def test_a_larger_batch_needs_no_less_and_a_smaller_one_is_tried() -> None:
    assert guard().implies(replace(CELL, batch_size=128)) == (
        "not tried: batch size 64 ran out of memory, and 128 needs no less"
    )
    assert guard().implies(replace(CELL, batch_size=63)) is None


def test_a_training_that_may_have_lacked_room_for_an_evaluation_tells_nothing_of_a_timing() -> None:
    assert guard().implies(replace(CELL, epochs=0)) is None


def test_only_an_observed_end_is_evidence() -> None:
    row = CELL.settings | {"status": "oom"}
    observed = OomGuard([row | {"because": "out of memory at batch size 64: CUDA out of memory"}])
    implied = OomGuard([row | {"because": "not tried: batch size 32 ran out of memory, and 64 needs no less"}])
    assert observed.implies(CELL)
    assert implied.implies(CELL) is None
