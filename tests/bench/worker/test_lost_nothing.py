"""An error in one part never loses the record of a training: the row has everything else."""

from __future__ import annotations

from collections.abc import Callable
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
from tests.support.thinned import thinned

WORKER = "ampbench.bench.worker"
PLANTED = {
    f"{WORKER}.cell.provenance_of": "provenance",
    f"{WORKER}.measurement.data_of": "columns of the data",
    f"{WORKER}.measurement.network_of": "columns of the network",
    f"{WORKER}.timing.timing.Timing.stop": "last judgement of the blocks",
    f"{WORKER}.summary.Summary.memory_peaks": "peaks of memory",
    f"{WORKER}.summary.speed": "throughput",
    f"{WORKER}.summary.loss_scaling": "course of the loss scale",
    f"{WORKER}.summary.Summary.board_state": "state of the board",
    f"{WORKER}.summary.EnergyToAccuracy": "energy to accuracy",
    f"{WORKER}.summary.block_rows": "blocks",
    f"{WORKER}.timing.board_watch.BoardWatch.rows": "samples of the board",
    f"{WORKER}.measurement.start_of": "start of the training",
    f"{WORKER}.evaluation.course_of": "judgement of the course",
    f"{WORKER}.epochs.end_lines": "last lines of the log",
    f"{WORKER}.numerics_probe.LayerSampler.compared": "sample of the layers after epoch 0",
    f"{WORKER}.passes.passes.operations_of": "count of operations",
    f"{WORKER}.passes.passes.vendor_peak_of": "vendor's peak",
    f"{WORKER}.passes.passes.measured_peak_of": "peak",
    f"{WORKER}.passes.passes.utilisation_of": "share of the peak",
    f"{WORKER}.passes.passes.static_memory_of": "split of the memory",
    f"{WORKER}.passes.passes.data_memory_of": "memory of the data",
    f"{WORKER}.passes.passes.trace_memory": "history of the memory",
    f"{WORKER}.passes.prediction.predict_peak_bytes": "prediction of the memory",
    f"{WORKER}.passes.passes.time_phases": "phases",
    f"{WORKER}.passes.passes.profile_steps": "operators",
    f"{WORKER}.passes.passes.work_by_kind": "work by kind",
    f"{WORKER}.passes.passes.bound_by": "bound",
}
"""Where an exception is planted -> what is missing then."""
ONE_EACH = ("images_per_s", "final_loss_scale", "steady_peak_bytes", "test_accuracy", "data_sha256", "num_parameters",
            "learned", "forward_flops", "tflops", "weights_bytes", "data_bytes", "allocator_peak_bytes",
            "predicted_peak_bytes", "forward_ms", "bound", "machine", "cell_s", "dtype_check", "train_loss",
            "best_epoch", "start_loss", "timing_stop", "measured_peak_tflops")  # fmt: skip
"""A column of each group that has a value without an error."""


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    monkeypatch.setattr("ampbench.bench.measure.roofline.LARGEST_SIDE", 256)
    monkeypatch.setattr("ampbench.bench.measure.roofline.convolution_tflops", lambda *_, **__: 0.0)
    cell = Cell(
        model="tests.support.tiny:Net",
        data="digits",
        precision=RECIPES["fp16_amp_scaled"],
        batch_size=128,
        image_size=8,
        epochs=2,
        learning_rate=0.05,
        augment=(),
        num_threads=1,
    )
    protocol = MeasurementProtocol(
        passes=("phases", "roofline", "memory"), numerics_samples=1, start_steps=20, block_ms=1, max_warmup_s=0.01
    )

    def measure() -> dict[str, Any]:
        board = Board(board_id="cpu")
        run = Run(folder=tmp_path, cell=cell, protocol=protocol, budget=Budget(), board=board, order=1, command="x")
        run.save()
        measure_cell(run, torch.device("cpu"), lambda **_: None, 0.0)
        [row] = pq.read_table(run.record_path).to_pylist()
        return row

    return measure


def lost(row: dict[str, Any]) -> set[str]:
    return {column for column in ONE_EACH if row[column] is None}


def test_without_a_fault_every_group_is_there(measured: Callable[[], dict[str, Any]]) -> None:
    row = measured()
    assert (row["status"], row["passes_failed"]) == ("ok", None)
    assert lost(row) <= {"bound"}, "a bound takes phases and a throughput"


@pytest.mark.parametrize("place", thinned(PLANTED, kept=6))
def test_a_fault_costs_what_it_is_in_and_the_row_says_why(
    place: str, measured: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(place, broken)
    row = measured()
    assert (row["status"], row["because"]) == ("ok", None)
    assert f"no {PLANTED[place]}: ZeroDivisionError: planted" in row["passes_failed"]
    assert len(lost(row)) <= 6, lost(row)
    assert row["test_accuracy"] > 0
    assert row["train_loss"] > 0
    assert row["cell_s"] > 0
