"""A timing takes samples of its layers too, and none of them within its timed steps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.numerics_probe import NumericsProbe
from ampbench.bench.worker.numerics_probe.sample import LayerSampler, Sample
from tests.support.measuring import row_of

CPU = torch.device("cpu")
CELL = Cell(
    model="tests.support.tiny:Net",
    data="digits",
    precision=RECIPES["bf16_amp"],
    batch_size=64,
    image_size=8,
    learning_rate=0.05,
    num_threads=1,
)
QUICK: dict[str, Any] = {"passes": (), "block_ms": 1, "max_warmup_s": 0.001, "max_timing_s": 0.001}
"""A timing of a few steps."""


def measured(cell: Cell = CELL, **protocol: int) -> Measurement:
    measurement = Measurement(cell, MeasurementProtocol(**QUICK | protocol), CPU, lambda **_: None)
    measurement.take()
    return measurement


def sampled_steps(measurement: Measurement) -> list[int]:
    return sorted({row.step for row in measurement.outcome.traces.layers})


def num_timed(measurement: Measurement) -> int:
    return sum(not step.after_timing for step in measurement.outcome.traces.steps)


def test_the_samples_of_a_timing_are_spread_to_the_end_of_the_start_and_none_is_within_the_timed_steps() -> None:
    found = measured(start_steps=200, numerics_samples=5)
    timed = num_timed(found)
    assert 0 < timed < 200
    assert sampled_steps(found) == sorted({0, *(max(timed, step) for step in (50, 100, 150, 200))})
    per_epoch = 1437 // 64
    assert all(row.epoch == row.step // per_epoch for row in found.outcome.traces.layers)
    marked = [step.step for step in found.outcome.traces.steps if step.headroom_bits is not None]
    assert marked == sampled_steps(found)[1:], "the rows of the steps have the headroom of the samples after them"


def test_without_a_start_there_is_a_sample_before_the_timed_steps_and_one_after() -> None:
    for num_samples, expected in ((1, 1), (2, 2), (11, 2)):
        found = measured(numerics_samples=num_samples)
        steps = len(found.outcome.traces.steps)
        assert sampled_steps(found) == [0, steps][:expected]
        assert not any(step.after_timing for step in found.outcome.traces.steps)
        row = row_of(found)
        assert row["numerics_probe_s"] > 0
        assert row["start_steps_s"] is None


def test_the_samples_change_no_bit_of_the_steps() -> None:
    plain, sampled = measured(start_steps=60), measured(start_steps=60, numerics_samples=7, numerics_activations=True)
    losses = [[step.loss for step in one.outcome.traces.steps[:60]] for one in (plain, sampled)]
    assert losses[0] == losses[1]
    assert all(math.isfinite(loss) for loss in losses[0])
    accuracies = [[step.train_accuracy for step in one.outcome.traces.steps[:60]] for one in (plain, sampled)]
    assert accuracies[0] == accuracies[1]
    assert plain.outcome.traces.layers == []


def test_a_sample_of_a_timing_uses_the_rate_at_which_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its schedule has ended before it began: a timing has no epochs."""
    rates: list[float] = []
    compared = LayerSampler.compared

    def noted(self: LayerSampler, *args: Any, **kwargs: Any) -> Sample:
        rates.extend(group["lr"] for group in self.training.optimizer.param_groups)
        return compared(self, *args, **kwargs)

    monkeypatch.setattr(LayerSampler, "compared", noted)
    measured(replace(CELL, schedule="cosine"), numerics_samples=2)
    assert rates == [0.05, 0.05]


def test_a_further_round_takes_no_sample_for_it_trains_the_same_again() -> None:
    found = measured(replace(CELL, round=1), start_steps=50, numerics_samples=3)
    assert sampled_steps(found) == []


def test_after_a_loss_that_is_not_finite_there_is_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = NumericsProbe.take_in_timing

    def poisoning(self: NumericsProbe, *, step: int) -> None:
        taken(self, step=step)
        if step:
            with torch.no_grad():
                next(iter(self.sampler.training.weights.values())).fill_(math.nan)

    monkeypatch.setattr(NumericsProbe, "take_in_timing", poisoning)
    found = measured(start_steps=400, numerics_samples=11)
    assert len(sampled_steps(found)) == 2
    assert found.outcome.measured.start_of_training.start_diverged_step is not None


def test_a_sample_that_fails_costs_its_rows_and_says_at_which_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: LayerSampler, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no room")

    monkeypatch.setattr(LayerSampler, "compared", failing)
    found = measured(start_steps=60, numerics_samples=3)
    row = row_of(found)
    assert "no sample of the layers after step 0: RuntimeError: no room" in row["passes_failed"]
    assert "after step 60" in row["passes_failed"]
    assert row["start_steps"] == 60
    assert row["images_per_s"] > 0


def test_the_same_steps_are_sampled_whatever_the_recipe_took_to_be_timed() -> None:
    training = Training(CELL, load_images("digits", 8), CPU)
    measurement = Measurement(CELL, MeasurementProtocol(numerics_samples=5), CPU, lambda **_: None)
    probe = NumericsProbe(training, measurement.protocol, measurement.timing.memory, measurement.outcome)
    assert probe.due_after(30, 400) == [100, 200, 300, 400]
    assert probe.due_after(130, 400) == [130, 200, 300, 400]
    assert probe.due_after(500, 400) == [500]
