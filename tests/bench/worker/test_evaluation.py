"""The evaluations of a training: which epochs are evaluated, which is the best, which weights are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ampbench import models
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.training import Training
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.evaluation import Evaluations
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.timing.stepping import Stepping
from ampbench.schema.epochs import EpochRow
from ampbench.schema.files import BEST, FINAL
from tests.support.measuring import plain, row_of

CELL = Cell(
    model="tests.support.tiny:Net",
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


def trained(cell: Cell, folder: Path, **measure: Any) -> Measurement:
    measurement = Measurement(
        cell, MeasurementProtocol(passes=(), **measure), CPU, lambda **_: None, Checkpoints(folder, 1e9, "x", "y")
    )
    measurement.take()
    return measurement


def accuracies(measurement: Measurement) -> list[float | None]:
    return [epoch["test_accuracy"] for epoch in plain(measurement.outcome.traces.epochs)]


def test_the_best_epoch_is_the_first_with_the_highest_accuracy(tmp_path: Path) -> None:
    measurement = trained(CELL, tmp_path)
    found = accuracies(measurement)
    assert row_of(measurement)["best_test_accuracy"] == max(found)
    assert row_of(measurement)["best_epoch"] == found.index(max(found)) + 1
    assert row_of(measurement)["test_accuracy"] == found[-1]
    assert not (tmp_path / BEST).exists()


def test_epochs_between_evaluations_have_none_and_train_alike(tmp_path: Path) -> None:
    every, some = trained(CELL, tmp_path), trained(CELL, tmp_path, evaluate_every=2)
    wanted = accuracies(every)
    assert accuracies(some) == [None, wanted[1], None, wanted[3], wanted[4]]
    assert [e["train_loss"] for e in plain(some.outcome.traces.epochs)] == [
        e["train_loss"] for e in plain(every.outcome.traces.epochs)
    ]
    assert [e["learning_rate"] for e in plain(some.outcome.traces.epochs)] == pytest.approx(
        [0.1, 0.1, 0.1, 0.01, 0.01], rel=0.3
    )


def test_the_time_to_an_accuracy_is_that_of_the_first_epoch_that_has_it(tmp_path: Path) -> None:
    measurement = trained(CELL, tmp_path)
    found = [a for a in accuracies(measurement) if a is not None]
    reached = next(i for i, accuracy in enumerate(found) if accuracy >= found[-1])
    again = trained(CELL, tmp_path, target_accuracy=found[-1])
    assert row_of(again)["time_to_accuracy_s"] == plain(again.outcome.traces.epochs)[reached]["train_s"]
    assert 0 < row_of(again)["time_to_accuracy_s"] <= row_of(again)["train_s"]
    beyond = trained(CELL, tmp_path, target_accuracy=1.0)
    assert (row_of(beyond)["target_accuracy"], row_of(beyond)["time_to_accuracy_s"]) == (1.0, None)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_best_weights_are_kept_and_have_the_accuracy_that_they_are_kept_with(
    tmp_path: Path, ema_decay: float
) -> None:
    cell = replace(CELL, ema_decay=ema_decay, schedule="constant")
    measurement = trained(cell, tmp_path, keep_best=True)
    kept = torch.load(tmp_path / BEST, weights_only=True)
    assert (kept["epoch"], kept["test_accuracy"]) == (
        row_of(measurement)["best_epoch"],
        row_of(measurement)["best_test_accuracy"],
    )
    assert kept["classes"] == [str(digit) for digit in range(10)]
    assert kept["optimizer"]["param_groups"][0]["momentum"] == cell.momentum
    fresh = Training(replace(cell, ema_decay=0.0), load_images("digits", 8), CPU)
    fresh.model.load_state_dict(kept["model"])
    assert fresh.evaluate().test_accuracy == kept["test_accuracy"]
    models.build("tests.support.tiny:Net", input_shape=(3, 8, 8)).load_state_dict(kept["model"])


@pytest.mark.parametrize("recipe", ["fp32", "bf16", "bf16_amp"])
def test_the_final_weights_are_those_that_the_last_evaluation_saw(tmp_path: Path, recipe: str) -> None:
    cell = replace(CELL, precision=RECIPES[recipe], ema_decay=0.5)
    measurement = trained(cell, tmp_path, keep_final=True, keep_best=True)
    kept = torch.load(tmp_path / FINAL, weights_only=True)
    assert (kept["epoch"], kept["test_accuracy"]) == (5, row_of(measurement)["test_accuracy"])
    assert kept["stoi"] == {name: i for i, name in enumerate(kept["classes"])} == {str(i): i for i in range(10)}
    assert kept["stoi"] == torch.load(tmp_path / BEST, weights_only=True)["stoi"]
    assert "optimizer" not in kept
    assert kept["model"]["linear.weight"].dtype == (torch.bfloat16 if recipe == "bf16" else torch.float32)
    training = Training(replace(cell, ema_decay=0.0), load_images("digits", 8), CPU)
    training.model.load_state_dict(kept["model"])
    assert training.evaluate().test_accuracy == row_of(measurement)["test_accuracy"]


def test_final_weights_are_kept_only_if_asked_for_and_those_of_another_attempt_are_let_go(tmp_path: Path) -> None:
    (tmp_path / FINAL).touch()
    trained(CELL, tmp_path)
    assert not (tmp_path / FINAL).exists()


def test_a_full_disk_costs_the_weights_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    row = row_of(trained(CELL, tmp_path, keep_best=True))
    assert row["test_accuracy"] is not None
    assert "best.pt of epoch 1 is not kept: [Errno 28] No space left" in row["weights_note"]
    assert "best.pt of epoch 1 is not kept: [Errno 28] No space left" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_best_of_another_attempt_is_let_go(tmp_path: Path) -> None:
    (tmp_path / BEST).write_bytes(b"of a network that was")
    trained(CELL, tmp_path)
    assert not (tmp_path / BEST).exists()


def epoch_of(epoch: int, accuracy: float) -> EpochRow:
    return EpochRow(epoch=epoch, test_accuracy=accuracy, train_s=float(epoch))


def learning(folder: Path, *epochs: EpochRow, best: bool) -> Evaluations:
    training = Training(CELL, load_images("digits", 8), CPU)
    if best:
        torch.save({"epoch": 2, "test_accuracy": 0.3}, folder / BEST)
    return Evaluations(training, MeasurementProtocol(keep_best=True), list(epochs), folder)


def test_a_resumed_training_lets_go_of_a_best_epoch_that_it_takes_again(tmp_path: Path) -> None:
    assert learning(tmp_path, epoch_of(1, 0.2), epoch_of(2, 0.3), best=True).kept == 0.3
    assert (tmp_path / BEST).exists()
    assert learning(tmp_path, epoch_of(1, 0.2), best=True).kept < 0
    assert not (tmp_path / BEST).exists()


def test_weights_asked_for_in_the_middle_are_the_best_from_there_on(tmp_path: Path) -> None:
    later = learning(tmp_path, epoch_of(1, 0.99), best=False)
    found = later.evaluate(2)
    assert torch.load(tmp_path / BEST, weights_only=True)["test_accuracy"] == found.test_accuracy < 0.99


def test_a_training_that_diverged_keeps_what_its_epochs_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measurement = Measurement(
        CELL, MeasurementProtocol(passes=()), CPU, lambda **_: None, Checkpoints(tmp_path, 1e9, "x", "y")
    )
    run = Stepping.run

    def breaking(self: Stepping, epoch: int, **options: Any) -> list[float]:
        if epoch == 2:
            raise Diverged("the loss is nan")
        return run(self, epoch, **options)

    monkeypatch.setattr(Stepping, "run", breaking)
    with pytest.raises(Diverged):
        measurement.take()
    assert row_of(measurement)["best_test_accuracy"] == max(a for a in accuracies(measurement) if a is not None)
    assert row_of(measurement)["best_epoch"] in (1, 2)
