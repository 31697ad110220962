"""What the rules of diagnosis find is wrong, and what they do not find is well: on made curves and on recorded ones."""

from __future__ import annotations

import json
import typing
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ampbench.schema.diagnosis import Kind, Records, diagnoses_of
from tests.conftest import ROOT
from tests.support.made_curves import MADE, Made, records

SEEDS = 20
LEAST = 0.98
"""Precision and recall of every kind, over all made curves."""


def kinds_of(run: Records) -> set[str]:
    return {found.kind for found in diagnoses_of(run)}


@pytest.mark.parametrize("row", MADE, ids=lambda row: row.name)
def test_a_made_training_is_told_for_what_it_is(row: Made) -> None:
    assert kinds_of(row.make(np.random.default_rng(1))) == row.wrong


def test_of_all_that_is_found_and_of_all_there_is_little_is_wrong_or_missed() -> None:
    assert len(MADE) >= 60
    right, found, there = Counter(), Counter(), Counter()
    for i, row in enumerate(MADE):
        for seed in range(SEEDS):
            kinds = kinds_of(row.make(np.random.default_rng([i, seed])))
            found.update(kinds)
            there.update(row.wrong)
            right.update(kinds & row.wrong)
    table = {kind: (right[kind] / found[kind], right[kind] / there[kind]) for kind in typing.get_args(Kind)}
    assert all(min(both) >= LEAST for both in table.values()), table


@pytest.mark.parametrize("folder", ["demo", "epyc/cifar_cpu", "epyc/hybrid_cpu", "epyc/throughput"])
def test_the_recorded_trainings_are_diagnosed_as_they_ended(folder: str) -> None:
    """Of the committed results three trainings of the hybrid diverged, with small batches; nothing else is wrong."""
    cells = pq.read_table(ROOT / "results" / folder / "cells.parquet").to_pylist()
    epochs = pq.read_table(ROOT / "results" / folder / "epochs.parquet").to_pylist()
    assert cells
    for cell in cells:
        own = [row for row in epochs if row["cell_id"] == cell["cell_id"]]
        expected = {"diverged"} if cell["status"] == "diverged" else set()
        assert kinds_of(Records(cell=cell, epochs=own)) == expected, cell["cell_id"]


RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
"""LeNet on digits, fp32, batch 16, 14 epochs, at rates from one that trains to 50 times that, on 2 cores of a Xeon with
torch 2.15.0; `wrong` was written by eye: what ends at 10 % learned nothing, and noise at a high rate is no swing."""


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: f"{row['schedule']} {row['learning_rate']}")
def test_a_recorded_training_is_told_for_what_it_is(row: dict[str, Any]) -> None:
    levels = [2**20 * mib for mib in row["memory_mib"]]
    run = records(row["test_accuracy"], row["train_loss"], row["rate"], levels, num_test_images=360,
                  schedule=row["schedule"])  # fmt: skip
    assert kinds_of(run) == set(row["wrong"])


def test_a_loss_above_that_of_guessing_asks_for_a_smaller_rate_and_one_at_it_for_both() -> None:
    for row in (row for row in RECORDED if row["wrong"]):
        run = records(row["test_accuracy"], row["train_loss"], row["rate"], num_test_images=360)
        (found,) = diagnoses_of(run)
        assert found.next_move == "try a learning rate ten times smaller", row["learning_rate"]
    (at,) = diagnoses_of(records([0.1] * 5, [2.303] * 5, [0.1] * 5))
    assert "ended at 2.303, at that of guessing (2.303)" in at.sentence
    assert at.next_move.endswith("and one ten times larger")
