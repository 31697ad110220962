"""What a person reads while cells run: the same facts on a terminal and in a log."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from ampbench.bench.launch.progress import Progress
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.run import Run
from ampbench.bench.worker.measurement import Measurement
from tests.support.measuring import row_of

CELL = Cell(
    model="tests.support.tiny:Net",
    data="digits",
    image_size=8,
    precision=RECIPES["bf16_amp"],
    batch_size=64,
    epochs=3,
    learning_rate=0.05,
)
BORDER: dict[str, Any] = {
    "epoch": 2, "loss": 0.12345, "num_correct": 600, "num_seen": 640, "learning_rate": 0.0375, "images_per_s": 12345.6,
    "memory_bytes": 300 * 2**20, "share": 0.5, "num_batches": 22, "phase": "training",
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(
        folder=tmp_path,
        cell=dataclasses.replace(CELL, model="LeNet"),
        protocol=MeasurementProtocol(),
        budget=Budget(),
        board=Board(board_id="cpu"),
        order=1,
        command="",
    )


def shown(run: Run, *facts: dict[str, Any], terminal: bool = False, width: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None, legacy_windows=False)
    with Progress(console, num_cells=2, log_every_s=0) as progress:
        progress.started(run)
        for fact in facts:
            progress._shown_s = 0.0
            progress.told(run, fact)
    return out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_has_epoch_batch_loss_accuracy_rate_speed_memory_and_time_left(run: Run, terminal: bool) -> None:
    words = " ".join(shown(run, BORDER, terminal=terminal, width=120).split())
    for word in (
        "training", "[##########..........]", "0:00:00 left", "epoch 2/3 batch 10/22", "loss 0.1235",
        "accuracy 93.8% (600/640)", "rate 0.0375", "12,346 images/s", "300 MiB",
    ):  # fmt: skip
        assert word in words


def test_the_first_row_of_a_board_fits_80_columns(run: Run) -> None:
    rows = shown(run, BORDER, terminal=True).splitlines()
    heads = [row.rstrip() for row in rows if "[####" in row]
    assert heads
    assert all(head.endswith("left") for head in heads)


def test_outputs_that_are_no_logits_leave_the_accuracy_out(run: Run) -> None:
    said = shown(run, BORDER | {"num_correct": None})
    assert "loss 0.1235" in said
    assert "accuracy" not in said


@pytest.mark.parametrize("terminal", [False, True])
def test_an_evaluation_shows_how_far_it_is(run: Run, terminal: bool) -> None:
    said = shown(run, BORDER, {"phase": "evaluation", "evaluated_share": 0.25}, terminal=terminal, width=120)
    assert "evaluation [#####...............] 25% of the test set, epoch 2" in said


def test_machine_model_and_images_are_said_once(run: Run) -> None:
    about = {"phase": "warm-up", "about": "[hardware] a CPU [model] LeNet, 62,006 parameters"}
    assert shown(run, about, about).count("62,006 parameters") == 1


def test_a_session_tells_all_of_it_at_its_borders_and_in_its_evaluations() -> None:
    told: list[dict[str, Any]] = []
    measurement = Measurement(
        CELL, MeasurementProtocol(passes=(), block_ms=1), torch.device("cpu"), lambda **facts: told.append(facts)
    )
    measurement.take()
    borders = [facts for facts in told if "loss" in facts]
    assert borders
    assert all(
        {"epoch", "num_correct", "num_seen", "learning_rate", "images_per_s", "share"} <= set(f) for f in borders
    )
    assert all(0 <= f["num_correct"] <= f["num_seen"] for f in borders)
    last = [f for f in borders if f["epoch"] == 3][-1]
    assert last["num_seen"] == 22 * 64
    assert last["num_correct"] / last["num_seen"] == pytest.approx(row_of(measurement)["train_accuracy"])
    assert sum(f.get("phase") == "evaluation" for f in told) >= 3


def test_an_evaluation_tells_its_share_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ampbench.bench.worker.evaluation.REPORT_EVERY_S", 0.0)
    told: list[float] = []
    measurement = Measurement(
        CELL,
        MeasurementProtocol(passes=()),
        torch.device("cpu"),
        lambda **f: told.append(f["evaluated_share"]) if "evaluated_share" in f else None,
    )
    measurement.take()
    assert told[:4] == pytest.approx([0, 128 / 360, 256 / 360, 1])
