"""The start of a training: the first steps of a cell, which a timing goes on to, off its clock."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run
from ampbench.bench.worker.cell import measure_cell
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.start import start_of
from ampbench.bench.worker.timing.stepping import Stepping
from ampbench.schema.start import StartOfTraining, tail_of
from ampbench.schema.steps import StepRow
from tests.bench.worker.conftest import Start
from tests.support.measuring import row_of
from tests.support.two_ranks import TWO

CPU = torch.device("cpu")
CELL = Cell(
    model="tests.support.tiny:Net",
    data="digits",
    precision=RECIPES["fp32"],
    batch_size=64,
    image_size=8,
    epochs=0,
    learning_rate=0.05,
    schedule="constant",
    augment=(),
    num_threads=1,
)
QUICK: dict[str, Any] = {"passes": (), "block_ms": 1, "max_warmup_s": 0.001, "max_timing_s": 0.001}
"""A timing of a few steps."""


def measured(cell: Cell, start_steps: int, **fields: Any) -> Measurement:
    measurement = Measurement(cell, MeasurementProtocol(start_steps=start_steps, **QUICK), CPU, lambda **_: None)
    for name, value in fields.items():
        setattr(measurement, name, value)
    measurement.take()
    return measurement


def losses(measurement: Measurement) -> list[float]:
    return [step.loss for step in measurement.outcome.traces.steps]


def test_a_timing_goes_on_to_the_start_of_the_training_and_its_clock_does_not_see_it() -> None:
    found = measured(CELL, 150)
    steps, row = found.outcome.traces.steps, row_of(found)
    assert [step.step for step in steps] == list(range(1, 151))
    timed = [step for step in steps if not step.after_timing]
    assert 0 < len(timed) < 150
    assert steps[len(timed)].after_timing
    assert row["num_steps"] == len(timed)
    assert sum(block.num_steps for block in found.timing.clock.blocks) < len(timed)
    assert row["warmup_steps"] < len(timed)
    assert row["start_steps"] == 150
    assert row["start_loss"] == pytest.approx(sum(losses(found)[-15:]) / 15)
    assert (row["start_diverged_step"], row["start_num_skipped"]) == (None, None)
    assert row["start_steps_s"] > 0


def test_the_start_of_a_timing_is_that_of_a_training_bit_for_bit() -> None:
    timed = measured(CELL, 150)
    trained = measured(replace(CELL, epochs=7), 150)
    assert losses(timed)[:150] == losses(trained)[:150]
    assert trained.outcome.measured.start_of_training == timed.outcome.measured.start_of_training
    assert not any(step.after_timing for step in trained.outcome.traces.steps)
    accuracies = [[step.train_accuracy for step in one.outcome.traces.steps[:150]] for one in (timed, trained)]
    assert accuracies[0] == accuracies[1]


def test_every_recipe_of_a_seed_sees_the_same_images_from_the_same_weights() -> None:
    """In fp32 with another order of operations the first loss is the same within rounding, and so is the course."""
    one, other = measured(CELL, 60), measured(replace(CELL, onednn="off"), 60)
    assert losses(one)[0] == pytest.approx(losses(other)[0], rel=1e-5)
    assert losses(one)[59] == pytest.approx(losses(other)[59], rel=0.05)
    assert losses(measured(replace(CELL, seed=1), 60))[0] != pytest.approx(losses(one)[0], rel=1e-3)


def test_without_the_setting_and_in_a_further_round_nothing_is_added() -> None:
    for found in (measured(CELL, 0), measured(replace(CELL, round=1), 300)):
        assert not any(step.after_timing for step in found.outcome.traces.steps)
        assert found.outcome.measured.start_of_training == StartOfTraining()
        assert row_of(found)["start_steps_s"] is None


def test_a_loss_that_breaks_after_the_timing_is_harm_and_the_cell_keeps_its_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reports at every step, so it ends at the first that is broken."""
    monkeypatch.setattr("ampbench.bench.worker.timing.stepping.REPORT_EVERY_S", 0.0)
    go_on = Stepping.go_on

    def poisoned(self: Stepping, *args: Any, **kwargs: Any) -> None:
        with torch.no_grad():
            next(iter(self.training.weights.values())).fill_(math.nan)
        go_on(self, *args, **kwargs)

    monkeypatch.setattr(Stepping, "go_on", poisoned)
    found = measured(CELL, 150)
    row, steps = row_of(found), found.outcome.traces.steps
    assert row["images_per_s"] > 0
    assert row["diverged_step"] is None
    assert math.isnan(steps[-1].loss)
    assert row["start_diverged_step"] == row["start_steps"] == len(steps) < 150
    assert row["start_loss"] is None


def test_a_start_takes_at_most_half_of_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ampbench.bench.worker.timing.stepping.REPORT_EVERY_S", 0.0)
    found = measured(CELL, 1_000_000, deadline_s=time.perf_counter() + 2)
    row = row_of(found)
    assert row["start_steps"] == len(found.outcome.traces.steps) < 1_000_000
    assert row["start_loss"] > 0
    assert time.perf_counter() < found.deadline_s


def test_the_loss_is_the_mean_over_the_last_tenth_and_skips_are_counted() -> None:
    rows = [
        StepRow(step=i, epoch=1, loss=float(i), num_images=8, loss_scale_factor=2.0, skipped=i < 4)
        for i in range(1, 41)
    ]
    assert [tail_of(n) for n in (1, 40, 100, 396)] == [1, 4, 10, 40]
    expected = StartOfTraining(start_steps=40, start_loss=38.5, start_diverged_step=None, start_num_skipped=3)
    assert start_of(rows) == expected
    assert start_of([]) == StartOfTraining()
    collapsed = start_of([*rows, replace(rows[-1], step=41, loss_scale_factor=1e-45)])
    assert (collapsed.start_diverged_step, collapsed.start_loss is None) == (41, False)


@pytest.mark.parametrize(
    "fields", [{"precision": RECIPES["fp16_amp_scaled"]}, {"loader": "dataloader", "num_workers": 0}]
)
def test_a_start_goes_on_in_every_kind_of_cell(fields: dict[str, Any]) -> None:
    found = measured(replace(CELL, **fields), 100)
    steps = found.outcome.traces.steps
    assert len(steps) >= 100
    assert all((step.skipped is not None) is found.cell.precision.name.endswith("scaled") for step in steps)
    assert found.outcome.measured.start_of_training.start_steps == 100


@pytest.mark.whole
def test_ranks_go_on_together(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    short = MeasurementProtocol(start_steps=40, **QUICK)
    monkeypatch.setattr("tests.support.two_ranks.MeasurementProtocol", lambda **_: short)
    started = start(replace(TWO, epochs=0))
    row = started.row()
    assert row["status"] == "ok", (row["because"], started.log)
    assert row["start_steps"] == 40
    steps = pq.read_table(started.run.folder / "steps.parquet").to_pylist()
    assert len(steps) >= 40
    assert all(math.isfinite(step["loss"]) for step in steps)


def test_steps_that_fail_after_the_timing_cost_only_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory, say: the speed is known, and the steps before it are the start that there is."""
    go_on = Stepping.go_on

    def short_of_memory(self: Stepping, last_step: int, **kwargs: Any) -> None:
        ahead = self.ahead

        def breaking() -> Any:
            yield next(ahead)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        self.ahead = breaking()
        go_on(self, last_step, **kwargs)

    monkeypatch.setattr(Stepping, "go_on", short_of_memory)
    protocol = MeasurementProtocol(start_steps=5000, **QUICK)
    board = Board(board_id="cpu")
    run = Run(folder=tmp_path, cell=CELL, protocol=protocol, budget=Budget(), board=board, order=1, command="x")
    run.save()
    measure_cell(run, CPU, lambda **_: None, 0.0)
    [row] = pq.read_table(run.record_path).to_pylist()
    assert row["status"] == "ok"
    assert row["images_per_s"] > 0
    assert "no further steps: RuntimeError: DefaultCPUAllocator" in row["passes_failed"]
    assert row["start_steps"] == pq.read_table(tmp_path / "steps.parquet").num_rows < 5000
