"""What is wrong with the runs of a folder: a sentence a recipe and kind, with its rows and its next move."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from ampbench.schema.diagnosis import diagnoses_of
from ampbench.schema.diagnosis.signs import signs_of
from ampbench.visualize.findings import diagnosis
from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict import verdict
from ampbench.visualize.read import frame
from ampbench.visualize.show import exports, table
from ampbench.visualize.show.page import render
from ampbench.visualize.show.summary_text import summary_text
from tests.support.made_curves import MADE
from tests.visualize.conftest import Folder, cell, record

TO_AND_FRO = [30.0, 9.7, 10.0, 10.0, 12.5, 35.3, 23.1, 10.3]


def train(folder: Folder, percents: list[float], recipe: str = "fp32", seed: int = 0, **over: object) -> None:
    """Add a training with these accuracies."""
    one = cell(recipe, seed=seed, epochs=len(percents))
    shares = [percent / 100 for percent in percents]
    folder.add(one, **record(learned=None, macro_recall=None, train_accuracy=None, test_accuracy=shares[-1]) | over)
    own = [row for row in folder.rows["epochs"] if row["cell_id"] == one.cell_id]
    for row, share in zip(own, shares, strict=True):
        row |= {"test_accuracy": share, "learning_rate": 0.1, "planned_learning_rate": 0.1}


def page_of(path):
    results = frame.read(path)
    verdicts = verdict.judge(results.cells)
    rows = standings(results, verdicts)
    advice = answers(results, rows)
    return render(results, rows, table.legend(results, verdicts), advice, []), summary_text(results, rows, advice, 100)


def test_a_training_that_ended_ok_at_chance_is_told_with_its_rows_and_the_next_move(folder):
    train(folder, TO_AND_FRO)
    nothing, swings = diagnosis.findings(frame.read(folder.write()))
    assert nothing.startswith(
        "VGG19 fp32 at batch 128: learned nothing: 10.30 % of the test images, and guessing among "
    )
    assert "it had reached 35.3 % in epoch 6 (epochs 8: test_accuracy; epochs 6: test_accuracy). Next: " in nothing
    assert nothing.endswith("try a learning rate ten times smaller.")
    assert "test accuracy swings: 30.0 9.7 10.0 10.0 12.5 35.3 23.1 10.3 %" in swings
    assert "on average (epochs 1 to 8: test_accuracy). Next: " in swings


def test_runs_of_one_recipe_share_a_sentence_that_counts_them(folder):
    for seed in (0, 1):
        train(folder, [10.0, 10.1], "fp16", seed)
        train(folder, [60.0, 90.0], "fp32", seed)
    train(folder, [60.0, 90.0], "fp16", 2)
    (said,) = diagnosis.findings(frame.read(folder.write()))
    assert said.startswith("VGG19 fp16 at batch 128, 2 of 3 runs, for example seed 0: learned nothing: 10.10 %")
    rows = exports.named("diagnoses")(frame.read(folder.path)).rows
    assert list(rows["seed"]) == [0, 1]
    assert set(rows["kind"]) == {"learned nothing"}


def test_a_divergence_is_said_once_with_its_layer_and_what_helps(folder):
    for seed in range(3):
        folder.add(cell("fp32", seed=seed))
        folder.add(cell("fp16", seed=seed), "diverged", compute_dtype="fp16")
    page, text = page_of(folder.write())
    for words in (page, " ".join(text.split())):
        assert words.count("loss was nan at step 7; first in features.0") == 1
        assert "fp16 at batch 128, 3 of 3 runs, for example seed 0: diverged" in words
        assert "the same recipe in bf16" in words


@pytest.mark.parametrize("status", ["ok", "throttled"])
def test_no_sentence_stands_twice_on_the_page(folder, status):
    for seed in (0, 1):
        train(folder, TO_AND_FRO, "fp16", seed, thermal_violation_share=0.6, bound="input", bound_because="the batch")
        train(folder, [60.0, 92.0, 93.0, 93.1], "fp32", seed)
    folder.add(cell("bf16"), status, because=None if status == "ok" else "the clocks were held down for 300 s")
    page, text = page_of(folder.write())
    lines = [re.sub(r"<[^>]+>", "", line).strip() for line in re.findall(r"<li[^>]*>(.*?)</li>", page, re.DOTALL)]
    sentences = [s for line in lines for s in re.split(r"\. (?=[A-Z])", line) if len(s) > 40]
    assert len(sentences) == len(set(sentences))
    assert page.count("of the steady time was spent at the limit on temperature") == 1
    words = [s for s in re.split(r"\n- |\n\n|\. ", text) if len(s) > 40]
    assert len(words) == len(set(words))


def test_lost_updates_are_said_of_their_recipe_alone(folder):
    folder.rows["layers"] = []
    for recipe, share in (("bf16", 0.8), ("fp32", 0.01)):
        one = cell(recipe, epochs=2)
        folder.add(one, weights_dtype=recipe, update="nearest")
        place = {"cell_id": one.cell_id, "step": 9, "epoch": 2, "depth": 0, "layer": "head", "tensor": "gradient"}
        values = {"num_entries": 100.0, "unmoved_share": share}
        folder.rows["layers"] += [place | {"quantity": name, "value": value} for name, value in values.items()]
    (said,) = diagnosis.findings(frame.read(folder.write()))
    assert "VGG19 bf16 at batch 128: stands still by lost updates" in said
    assert "leaves 80 % of the weights" in said
    assert "master_weights = true" in said
    assert "(layers 9: unmoved_share, num_entries)" in said


def test_findings_without_end_are_counted(folder):
    for batch in range(1, 21):
        folder.add(cell("fp16", batch, epochs=1), **record(learned=False, test_accuracy=0.1))
    found = diagnosis.findings(frame.read(folder.write()))
    assert len(found) == diagnosis.MOST + 1
    assert found[-1].startswith("8 more")


def test_the_signs_of_success_are_counted_over_the_trainings(folder):
    train(folder, [60.0, 70.0, 86.0])
    train(folder, [40.0, 50.0, 60.0], seed=1)
    results = frame.read(folder.write())
    (said,) = diagnosis.signs(results)
    assert said.startswith("Signs of success (study S4), of 2 trainings: ")
    assert "85 % by epoch 30 in 1 of 1" in said  # of the other it is too early to say
    assert "learning rate on plan in 2 of 2" in said
    assert len(exports.named("signs")(results).rows) == 2 * 5


def test_a_healthy_folder_says_nothing_is_wrong(matrix):
    assert diagnosis.findings(frame.read(matrix(epochs=20))) == []


def test_timings_alone_have_no_signs(matrix):
    assert diagnosis.signs(frame.read(matrix(epochs=0))) == []


class Noticing(dict):  # type: ignore[type-arg]
    """A row that notices which of its columns are read."""

    def __init__(self, values: Any, read: set[str]) -> None:
        super().__init__(values)
        self.read = read

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


def test_what_the_rules_read_is_what_the_folder_gives_them():
    cells: set[str] = set()
    curves: set[str] = {"epoch"}
    for row in MADE:
        made = row.make(np.random.default_rng(0))
        for change in ({}, {"compute_dtype": "fp16", "loss_scale": "static:8"}):
            noticing = dataclasses.replace(
                made,
                cell=Noticing({**made.cell, "data": "cifar10", **change}, cells),
                epochs=[Noticing(epoch, curves) for epoch in made.epochs],
            )
            diagnoses_of(noticing)
            signs_of(noticing)
    assert cells == set(diagnosis.COLUMNS)
    assert curves == set(diagnosis.CURVES)
