"""log.txt: a line every 100 batches, evaluations, seconds, the best epoch."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.worker.log import batch_lines, evaluation_line, open_log, say
from ampbench.bench.worker.measurement import Measurement
from ampbench.schema.steps import StepRow
from tests.support.measuring import plain, row_of

CPU = torch.device("cpu")
CELL = Cell(
    model="tests.support.tiny:Net",
    data="digits",
    image_size=8,
    batch_size=6,
    epochs=2,
    augment=(),
    learning_rate=0.01,
    precision=RECIPES["fp32"],
)


def test_every_hundredth_batch_and_the_last_say_what_was_seen_and_the_mean_loss_so_far() -> None:
    rows = [StepRow(step=i, epoch=2, num_images=6, loss=float(i % 2)) for i in range(239)]
    lines = list(batch_lines(CELL, rows, num_batches=239, num_images=1437))
    assert [line.split(":")[0] for line in lines] == [f"Epoch 2/2, batch {i}/239" for i in (100, 200, 239)]
    assert lines[0].endswith("600/1434 (42 %), mean loss 0.5000, learning rate 0.005")
    assert "1434/1434 (100 %)" in lines[-1]


def test_a_whole_epoch_with_a_smaller_last_batch_is_the_whole_training_set() -> None:
    rows = [StepRow(step=1, epoch=1, num_images=n, loss=1.0) for n in [6] * 239 + [3]]
    *_, last = batch_lines(replace(CELL, drop_last=False), rows, num_batches=240, num_images=1437)
    assert "batch 240/240: 1437/1437 (100 %)" in last


def test_an_evaluation_is_a_line_with_loss_hits_and_percent() -> None:
    assert evaluation_line(0.27182, 0.9123, 10_000) == ("Test loss: 0.2718, Accuracy: 9123/10000: 91.23%")


def test_a_training_tells_its_log_the_whole_story(capfd: pytest.CaptureFixture[str]) -> None:
    measurement = Measurement(CELL, MeasurementProtocol(passes=(), evaluate_every=2), CPU, lambda **_: None)
    measurement.take()
    said = capfd.readouterr().out.splitlines()
    assert "Rank 0 loaded 1437 samples (training)" in said
    assert "Rank 0 loaded 360 samples (test)" in said
    (start,) = [line for line in said if line.startswith("[hardware]")]
    assert re.search(r"GiB \[model\] tests\.support\.tiny:Net, 1,530 parameters \[data\] digits, 1,437 training", start)
    assert sum(line.startswith("Epoch 2/2, batch") for line in said) == 3
    assert any(line.startswith("Epoch 1/2: training loss ") and line.endswith("no evaluation") for line in said)
    row = row_of(measurement)
    assert f"Test loss: {row['test_loss']:.4f}, Accuracy: {360 * row['test_accuracy']:.0f}/360: " in "\n".join(said)
    assert "Total samples: 360" in said
    assert f"Mean loss: {row['test_loss']:.4f}" in said
    assert f"Macro F1: {row['macro_f1']:.4f}" in said
    assert said[-2] == f"Best epoch: 2, best accuracy: {row['best_test_accuracy']:.2%}"
    first, second = plain(measurement.outcome.traces.epochs)
    assert first["epoch_evaluation_s"] is None
    assert second["epoch_evaluation_s"] == row["evaluation_s"] > 0
    assert first["epoch_train_s"] + second["epoch_train_s"] == pytest.approx(row["train_s"])


def test_a_training_that_diverges_has_logged_its_steps(capfd: pytest.CaptureFixture[str]) -> None:
    cell = Cell(**{f: getattr(CELL, f) for f in ("data", "image_size", "batch_size", "epochs", "augment", "precision")},
                model="tests.support.tiny:BreaksForward")  # fmt: skip
    with pytest.raises(Diverged):
        Measurement(cell, MeasurementProtocol(passes=()), CPU, lambda **_: None).take()
    assert re.search(r"Epoch 1/2, batch \d+/239: .* mean loss nan", capfd.readouterr().out)


def test_a_log_goes_on_where_its_training_does(tmp_path: Path) -> None:
    def write(text: bytes) -> str:
        log = open_log(tmp_path)
        os.write(log, text)
        os.close(log)
        return (tmp_path / "log.txt").read_text()

    assert write(b"first\n") == "first\n"
    assert write(b"another attempt\n") == "another attempt\n"
    (tmp_path / "checkpoint.pt").touch()
    assert write(b"goes on\n") == "another attempt\ngoes on\n"


def test_a_full_disk_ends_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        say("a line")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
