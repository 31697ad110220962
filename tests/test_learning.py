"""What a training leaves of its accuracy: which epochs are evaluated, which was the best, what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import models
from bench.plan.cell import Cell
from bench.plan.measure import Measure
from bench.plan.recipe import RECIPES
from bench.train.images import load_images
from bench.train.training import Training
from bench.worker.keeping import Keeping
from bench.worker.learning import BEST
from bench.worker.session import Session

CELL = Cell(
    model="tests.tiny:Net",
    data="digits",
    image_size=8,
    batch_size=256,
    epochs=5,
    learning_rate=0.1,
    schedule="warmup_multistep",
    milestones=(3,),
    precision=RECIPES["fp32"],
)
CPU = torch.device("cpu")


def trained(cell: Cell, folder: Path, **measure: Any) -> Session:
    session = Session(cell, Measure(passes=(), **measure), CPU, lambda **_: None, Keeping(folder, 1e9, "x", "y"))
    session.measure()
    return session


def accuracies(session: Session) -> list[float | None]:
    return [epoch["test_accuracy"] for epoch in session.traces.epochs]


def test_the_best_epoch_is_the_first_with_the_highest_accuracy(tmp_path: Path) -> None:
    session = trained(CELL, tmp_path)
    found = accuracies(session)
    assert session.row["best_test_accuracy"] == max(found)
    assert session.row["best_epoch"] == found.index(max(found)) + 1
    assert session.row["test_accuracy"] == found[-1]
    assert not (tmp_path / BEST).exists()


def test_epochs_between_evaluations_have_none_and_train_alike(tmp_path: Path) -> None:
    every, some = trained(CELL, tmp_path), trained(CELL, tmp_path, evaluate_every=2)
    wanted = accuracies(every)
    assert accuracies(some) == [None, wanted[1], None, wanted[3], wanted[4]]
    assert [e["train_loss"] for e in some.traces.epochs] == [e["train_loss"] for e in every.traces.epochs]
    assert [e["learning_rate"] for e in some.traces.epochs] == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01], rel=0.3)


def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_that_has_it(tmp_path: Path) -> None:
    session = trained(CELL, tmp_path)
    found = [a for a in accuracies(session) if a is not None]
    reached = next(i for i, accuracy in enumerate(found) if accuracy >= found[-1])
    again = trained(CELL, tmp_path, target_accuracy=found[-1])
    assert again.row["time_to_accuracy_s"] == again.traces.epochs[reached]["train_s"]
    assert 0 < again.row["time_to_accuracy_s"] <= again.row["train_s"]
    beyond = trained(CELL, tmp_path, target_accuracy=1.0)
    assert (beyond.row["target_accuracy"], beyond.row["time_to_accuracy_s"]) == (1.0, None)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_best_weights_are_kept_and_have_the_accuracy_that_they_are_kept_with(
    tmp_path: Path, ema_decay: float
) -> None:
    cell = replace(CELL, ema_decay=ema_decay, schedule="constant")
    session = trained(cell, tmp_path, keep_best=True)
    kept = torch.load(tmp_path / BEST, weights_only=True)
    assert (kept["epoch"], kept["test_accuracy"]) == (session.row["best_epoch"], session.row["best_test_accuracy"])
    assert kept["classes"] == [str(digit) for digit in range(10)]
    assert kept["optimizer"]["param_groups"][0]["momentum"] == cell.momentum
    fresh = Training(replace(cell, ema_decay=0.0), load_images("digits", 8), CPU)
    fresh.model.load_state_dict(kept["model"])
    assert fresh.evaluate().test_accuracy == kept["test_accuracy"]
    models.build("tests.tiny:Net", input_shape=(3, 8, 8)).load_state_dict(kept["model"])


def test_a_full_disk_costs_the_weights_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert trained(CELL, tmp_path, keep_best=True).row["test_accuracy"] is not None
    assert "best.pt of epoch 1 is not kept: [Errno 28] No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
