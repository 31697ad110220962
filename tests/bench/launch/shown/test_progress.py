"""What a person reads while cells run: the same facts on a terminal and in a log."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from ampbench.bench.launch.shown.progress import Progress
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


def drawn(runs: list[Run], *, height: int, width: int = 80) -> list[str]:
    """Return the rows of a terminal on which all these runs train at once."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    progress = Progress(console, num_cells=len(runs))
    for one in runs:
        progress.started(one)
        progress.told(one, BORDER)
    with console.capture() as captured:
        console.print(*progress._rows(), progress._total(), sep="\n")
    return captured.get().splitlines()


def on_boards(run: Run, count: int, host: str = "") -> list[Run]:
    names = [f"node{i // 8}" if host else "" for i in range(count)]
    return [
        dataclasses.replace(
            run, board=Board(board_id=f"cpu:{i % 8}/8" if host else f"cpu:{i}/{count}", host=names[i]), order=i
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 11, 12, 22, 23, 64, 1000])
@pytest.mark.parametrize("width", [80, 200])
def test_any_number_of_boards_is_readable_on_a_terminal_of_24_rows(run: Run, count: int, width: int) -> None:
    rows = drawn(on_boards(run, count), height=24, width=width)
    assert len(rows) <= 23
    boards = [row for row in rows if row.startswith(("cpu:", "cpu "))]
    assert all("training" in row for row in boards)
    more = [row for row in rows if row.startswith("and ")]
    assert more == ([f"and {count - len(boards)} cells more: {count - len(boards)} training"] if count > 22 else [])
    assert count <= 22 or len(boards) == 21
    assert rows[-1].startswith(f"0 of {count} cells")


def test_those_that_began_first_are_shown_because_they_may_hang(run: Run) -> None:
    runs = on_boards(run, 30)
    console = Console(file=io.StringIO(), width=80, height=8, force_terminal=True, color_system=None)
    progress = Progress(console, num_cells=99)
    for one in runs:
        progress.started(one)
    for one in runs[:-2]:
        progress.ended(one, {"status": "ok"})
        progress.started(one)
    rows = [str(row) for row in progress._rows()]
    assert [row.partition(": ")[0] for row in rows[:3]] == ["cpu:28/30", "cpu:29/30", "cpu:0/30"]


@pytest.mark.parametrize("terminal", [False, True])
def test_the_machine_of_a_board_is_named_at_work_and_at_the_end(run: Run, terminal: bool) -> None:
    there = on_boards(run, 1, host="node")[0]
    assert "node0 cpu:0/8: LeNet" in shown(there, BORDER, terminal=terminal)
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80), num_cells=1)
    progress.started(there)
    progress.ended(there, {"status": "crashed", "because": "its node was lost"})
    assert out.getvalue().rstrip().endswith("its node was lost  on node0")


def test_a_log_of_many_boards_grows_no_faster_than_of_eight(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("ampbench.bench.launch.shown.progress.time.monotonic", lambda: now_s)
    lines = {}
    for count in (8, 64):
        out = io.StringIO()
        progress = Progress(Console(file=out, width=80), num_cells=1, log_every_s=30)
        runs = on_boards(run, count)
        for one in runs:
            progress.started(one)
        for _ in range(0, 900, 30):
            now_s += 30
            for one in runs:
                progress.told(one, BORDER)
        lines[count] = out.getvalue().count("\n")
    assert lines[8] == 8 * 30
    assert lines[64] <= lines[8] + 64, "each line once at the beginning"


def test_cells_that_end_at_once_are_not_each_drawn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)
    updates: list[object] = []
    with Progress(console, num_cells=1000) as progress:
        assert progress._live is not None
        monkeypatch.setattr(progress._live, "update", lambda *shown, **_: updates.append(shown))
        monkeypatch.setattr("ampbench.bench.launch.shown.progress.time.monotonic", lambda: 5000.0)
        for one in on_boards(run, 50):
            progress.started(one)
            progress.ended(one, {"status": "ok"})
    assert len(updates) == 1


def test_a_cell_whose_machine_is_lost_leaves_its_line_and_appears_where_it_runs_again(run: Run) -> None:
    first, second = on_boards(run, 2, host="node")
    progress = Progress(Console(file=io.StringIO(), width=80), num_cells=1)
    progress.started(first)
    progress.told(first, {"phase": "lost"})
    progress.started(second)
    assert [str(row).partition(": ")[0] for row in progress._rows()] == ["node0 cpu:1/8"]
