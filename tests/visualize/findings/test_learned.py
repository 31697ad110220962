"""Sentences about what went wrong in a training."""

from __future__ import annotations

import pytest

from ampbench.visualize.findings import learned
from ampbench.visualize.read import frame
from tests.visualize.conftest import cell, record


def test_a_training_that_learned_nothing_is_said_from_its_record(folder):
    for seed in (0, 1):
        folder.add(cell("fp16", seed=seed), **record(learned=False, learning_note="learned nothing: 10.28 % of …"))
    folder.add(cell("fp32"), **record())
    assert learned.findings(frame.read(folder.write())) == [
        "VGG19 fp16 at batch 128, 2 of 2 trainings, for example seed 0: learned nothing: 10.28 % of …."
    ]


@pytest.mark.parametrize("percents", [[45.2, 38.9, 51.3, 33.1], [30.0, 9.7, 10.0, 10.0, 12.5, 35.3, 23.1, 10.3]])
def test_an_older_training_that_swings_is_told_from_its_epochs(folder, percents):
    one = cell("fp32", epochs=len(percents))
    folder.add(one, num_classes=10, test_accuracy=percents[-1] / 100)
    for row, percent in zip(folder.rows["epochs"], percents, strict=True):
        row["test_accuracy"] = percent / 100
    (sentence,) = learned.findings(frame.read(folder.write()))
    assert "test accuracy swings: " in sentence
    assert ("learned nothing" in sentence) == (percents[-1] == 10.3)


def test_findings_without_end_are_counted(folder):
    for batch in range(1, 21):
        folder.add(cell("fp16", batch), **record(learned=False, learning_note="learned nothing"))
    found = learned.findings(frame.read(folder.write()))
    assert len(found) == learned.MOST + 1
    assert found[-1].startswith("8 more rows")
