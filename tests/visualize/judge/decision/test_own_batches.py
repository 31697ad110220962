"""Recipes at batch sizes of their own, as trials found them: what the answer may say of fp32 at another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import verdicts_of
from ampbench.visualize.read.frame import read
from ampbench.visualize.read.plan import OwnBatches, Plan
from tests.visualize.conftest import Folder, cell
from tests.visualize.judge.answer.test_answer import TOML, answered, lines, timed

SPEEDS = {("fp32", 192): 1000.0, ("bf16_amp", 384): 1500.0}
FILE = TOML.format(epochs=0, data="synthetic")
MAX = FILE.replace("batch_size = [128]", 'batch_size = ["max"]') + "memory_gib_per_cell = 4\n"


def test_at_equal_memory_a_larger_batch_is_no_gap_in_the_evidence(folder: Folder) -> None:
    folder.plan = {"toml": MAX}
    answer = answered(timed(folder, SPEEDS))
    assert answer.headline.endswith("train in bf16_amp at batch 384.")
    assert lines(answer, "also") == [
        "at equal memory (4.0 GiB), each at the largest batch that fits: bf16_amp at 384, 1.50x as fast as fp32 at "
        "batch 192 (between 1.49 and 1.51)"
    ]


def test_the_same_rows_of_typed_batch_sizes_leave_the_question_open(folder: Folder) -> None:
    folder.plan = {"toml": FILE}
    answer = answered(timed(folder, SPEEDS))
    assert "stay with fp32" in answer.headline
    assert "fp32 did not run to its end at batch 384, and may be as fast there" in answer.headline


def test_a_batch_size_that_trials_found_on_another_machine_is_not_said_to_be_the_largest(folder: Folder) -> None:
    folder.plan = {"toml": MAX}
    timed(folder, SPEEDS)
    other = cell("fp32", 64, seed=1, epochs=0)
    folder.add(other, environment_id="e2", machine="Other GPU")
    results = read(folder.write())
    first, _ = answers(results, standings(results, verdicts_of(results)))
    assert "fp32 did not run to its end at batch 384, and may be as fast there" in first.headline
    assert not [line for line in lines(first, "also") if "the largest batch that fits" in line]


def test_a_recipe_that_is_slower_at_its_largest_batch_is_not_advised(folder: Folder) -> None:
    folder.plan = {"toml": MAX}
    answer = answered(timed(folder, {("fp32", 192): 1000.0, ("bf16_amp", 384): 900.0}))
    assert "stay with fp32" in answer.headline


def test_a_smaller_batch_than_the_reference_s_own_stays_open(folder: Folder) -> None:
    folder.plan = {"toml": MAX.replace('"max"', '"knee"')}
    answer = answered(timed(folder, {("fp32", 192): 1000.0, ("bf16_amp", 96): 1500.0}))
    assert "may be as fast there" in answer.headline
    assert "each at the smallest batch that is about as fast as any" in lines(answer, "also")[0]


def test_what_would_settle_it_keeps_each_recipe_at_its_own_batch(folder: Folder) -> None:
    made = cell("fp32", 192, epochs=0), cell("bf16_amp", 384, epochs=0)
    folder.plan = {"toml": MAX, "cells": [one.settings | {"cell_id": one.cell_id} for one in made]}
    for one, speed in zip(made, (1000.0, 1100.0), strict=True):
        folder.add(one, images_per_s=speed)
    settle = answered(folder.write()).settle
    assert settle is not None
    plan = make_plan(parse_experiment(Path("settle.toml"), settle.toml))
    assert {(one.precision.name, one.batch_size) for one in plan.cells} == {("fp32", 192), ("bf16_amp", 384)}


@pytest.mark.parametrize(
    ("toml", "own"),
    [
        (MAX, OwnBatches(word="max", memory_gib=4)),
        ('[fixed]\nbatch_size = "knee"\n', OwnBatches(word="knee", memory_gib=None)),
        ('[matrix]\nat = [{batch_size = "max", seed = 1}]\n', OwnBatches(word="max", memory_gib=None)),
        ('[matrix]\nbatch_size = ["max", 64]\n', None),
        (FILE, None),
        ("no TOML", None),
        ("", None),
        ('fixed = "max"', None),
    ],
)
def test_the_file_says_whether_the_batch_sizes_were_found(toml: str, own: OwnBatches | None) -> None:
    assert Plan(toml=toml).own_batches == own
