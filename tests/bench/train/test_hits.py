"""Training accuracy: counted beside the loss, in every recipe, and the same that a forward of one's own would count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.hits import Hits
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from ampbench.bench.worker.measurement import Measurement
from tests.support.measuring import plain, row_of
from tests.support.thinned import thinned
from tests.support.tiny import Net

CPU = torch.device("cpu")
CELL = Cell(
    model="tests.bench.train.test_hits:Plain",
    data="digits",
    image_size=8,
    batch_size=200,
    epochs=2,
    learning_rate=0.05,
    precision=RECIPES["fp32"],
)
ON_A_CPU = [name for name, recipe in RECIPES.items() if not recipe.needs_gpu]


class Plain(Net):
    """Without dropout, so that a second forward gives the same logits."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(0.0)


def by_hand(cell: Cell) -> list[list[float]]:
    """Accuracy of each step of each epoch, from a forward just before it."""
    training = Training(cell, load_images("digits", 8), CPU)
    epochs = []
    for epoch in range(cell.epochs):
        epochs.append([])
        for x_NCHW, y_N in training.batches(epoch):
            with torch.no_grad(), training.precision.autocast:
                logits = [training.model(part) for part in x_NCHW.chunk(cell.accumulation)]  # BatchNorm sees the parts
            epochs[-1].append(float((torch.cat(logits).argmax(1) == y_N).float().mean()))
            training.step(x_NCHW, y_N)
    return epochs


def measured(cell: Cell, **measure: Any) -> Measurement:
    measurement = Measurement(cell, MeasurementProtocol(passes=(), block_ms=5, **measure), CPU, lambda **_: None)
    measurement.take()
    return measurement


@pytest.mark.parametrize("recipe", thinned(ON_A_CPU, kept=4))
def test_training_accuracy_is_that_of_the_images_as_they_were_met(recipe: str) -> None:
    cell = replace(CELL, precision=RECIPES[recipe])
    measurement, wanted = measured(cell), by_hand(cell)
    found = [row["train_accuracy"] for row in plain(measurement.outcome.traces.steps)]
    assert found == pytest.approx([accuracy for epoch in wanted for accuracy in epoch], abs=1e-6)
    means = [sum(epoch) / len(epoch) for epoch in wanted]  # all batches are alike: the last, smaller one is left out
    assert [epoch["train_accuracy"] for epoch in plain(measurement.outcome.traces.epochs)] == pytest.approx(means)
    assert row_of(measurement)["train_accuracy"] == pytest.approx(means[-1])
    assert row_of(measurement)["train_loss"] == plain(measurement.outcome.traces.epochs)[-1]["train_loss"]


@pytest.mark.parametrize("change", [{"accumulation": 4}, {"ema_decay": 0.9}, {"drop_last": False}])
def test_parts_averages_and_a_smaller_last_batch_are_counted_alike(change: dict[str, Any]) -> None:
    cell = replace(CELL, **change)
    measurement, wanted = measured(cell), by_hand(cell)
    found = [row["train_accuracy"] for row in plain(measurement.outcome.traces.steps)]
    assert found == pytest.approx([accuracy for epoch in wanted for accuracy in epoch], abs=1e-6)
    sizes = [200] * 7 + [37] * (not cell.drop_last)
    means = [sum(a * n for a, n in zip(epoch, sizes, strict=True)) / sum(sizes) for epoch in wanted]
    assert [epoch["train_accuracy"] for epoch in plain(measurement.outcome.traces.epochs)] == pytest.approx(means)


def test_a_timing_that_spans_epochs_counts_each_anew() -> None:
    cell = replace(CELL, epochs=0, batch_size=700)
    measurement = measured(cell, max_timing_s=0.5, max_warmup_s=0.2)
    found = [row["train_accuracy"] for row in plain(measurement.outcome.traces.steps)]
    assert len(found) > 4  # of two steps an epoch
    assert all(0 <= accuracy <= 1 for accuracy in found)
    assert row_of(measurement).get("train_accuracy") is None


def test_what_is_no_logits_is_not_counted() -> None:
    hits = Hits(CPU, num_classes=10)
    hits(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64))
    assert hits.correct is None
    hits.open_epoch()
    hits(torch.eye(10), torch.arange(10).roll(1))
    hits(torch.eye(10), torch.arange(10))
    assert (int(hits.correct), hits.num_images) == (10, 20)  # type: ignore[arg-type]


def test_counting_changes_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = measured(CELL)
    monkeypatch.setattr(Hits, "__call__", lambda self, logits_NK, y_N: setattr(self, "correct", None))
    uncounted = measured(CELL)
    assert row_of(uncounted)["train_accuracy"] is None
    for losses in zip(
        *([row["loss"] for row in plain(measurement.outcome.traces.steps)] for measurement in (counted, uncounted)),
        strict=True,
    ):
        assert losses[0] == losses[1]


def test_counting_reads_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value leaves the device: with any of these a GPU would be waited for."""

    def waiting(*_: object) -> object:
        raise AssertionError("a value was read")

    hits = Hits(CPU, num_classes=10)
    for name in ("item", "tolist", "cpu", "__bool__", "__int__", "__float__", "numpy", "nonzero"):
        monkeypatch.setattr(Tensor, name, waiting)
    hits(torch.eye(10), torch.arange(10))
