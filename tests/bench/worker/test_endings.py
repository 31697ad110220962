"""There is a record whatever a model does: before the last timed step an error is a row, after it the cell stays ok."""

from __future__ import annotations

import re
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
from ampbench.bench.train.state.checkpoint_file import DAMAGED, NEWEST, PREVIOUS
from ampbench.bench.train.statuses import Interrupted
from ampbench.bench.worker.cell import measure_cell
from ampbench.bench.worker.timing.stepping import Stepping
from tests.support import stateful
from tests.support.thinned import thinned

CPU = torch.device("cpu")


def run_of(folder: Path, model: str, *, again: bool = False, passes: tuple[Any, ...] = (), **fields: Any) -> Run:
    values: dict[str, Any] = {"data": "digits", "image_size": 8, "batch_size": 512, "epochs": 2, "num_threads": 1}
    cell = Cell(model=model, precision=RECIPES["fp32"], learning_rate=0.05, **values | fields)
    measure = MeasurementProtocol(passes=passes, numerics_samples=2)
    budget = Budget(checkpoint_minutes=0)
    board = Board(board_id="cpu", name="cpu")
    run = Run(folder=folder, cell=cell, protocol=measure, budget=budget, board=board, order=1, command="x", again=again)
    run.folder.mkdir(parents=True, exist_ok=True)
    return run


def row_of(run: Run) -> dict[str, Any]:
    measure_cell(run, CPU, lambda **_: None, 0.0)
    rows: list[dict[str, Any]] = pq.read_table(run.record_path).to_pylist()
    return rows[0]


def losses(run: Run) -> list[float]:
    return [row["loss"] for row in pq.read_table(run.folder / "steps.parquet").to_pylist()]


@pytest.mark.parametrize("model", ["NoMeta", "ExitsLater", "InterruptsLater", "StopsLater"])
def test_no_pass_after_the_last_timed_step_fails_a_cell(model: str, tmp_path: Path) -> None:
    row = row_of(run_of(tmp_path, f"tests.support.ending:{model}", passes=("phases", "memory")))
    assert row["status"] == "ok", row["because"]
    assert row["test_accuracy"] > 0
    assert row["num_steps"] == 4
    assert row["weights_bytes"], "the next pass is taken all the same"
    if model != "NoMeta":
        assert re.search(r"no phases: \w+: later", row["passes_failed"])


@pytest.mark.parametrize(
    ("model", "because"),
    [
        ("Exits", "SystemExit: the model, or what it imports, ended the process (exit code 3)"),
        ("Interrupts", "KeyboardInterrupt: raised by the model, or by what it imports"),
        ("Stops", "_Stop: that's all"),
        ("HalfACharacter", "KeyError: 'half a \\ud800 character' (ending.py:70)"),
    ],
)
def test_a_model_that_ends_the_process_is_a_row(model: str, because: str, tmp_path: Path) -> None:
    row = row_of(run_of(tmp_path, f"tests.support.ending:{model}"))
    assert (row["status"], row["because"]) == ("failed", because)


def test_a_person_who_interrupts_leaves_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    monkeypatch.setattr("ampbench.bench.worker.measurement.Passes.take", interrupt)
    run = run_of(tmp_path, "tests.support.tiny:Net")
    with pytest.raises(Interrupted):
        row_of(run)
    assert not run.record_path.exists()
    assert (tmp_path / NEWEST).exists(), "the same command goes on from here"


@pytest.mark.parametrize(
    ("model", "note"),
    thinned(
        [
            ("NoteList", "('a remark', 3)"),
            ("NoteLayer", None),
            ("NoteTensor", None),
            ("NoteHalf", "half a \\ud800 character"),
            ("NoteMethod", None),
            ("NoteRaises", None),
            ("NoteExits", None),
        ],
        kept=3,
    ),
)
def test_a_note_of_any_type_leaves_a_record(model: str, note: str | None, tmp_path: Path) -> None:
    row = row_of(run_of(tmp_path, f"tests.support.ending:{model}"))
    assert (row["status"], row["model_note"]) == ("ok", note)


@pytest.mark.parametrize(
    "model",
    thinned(["LateBuffer", "RegisteredLate", "GrowingBuffer", "Counting", "MakesItsOwn", "Drawing"], kept=2),
)
def test_a_cell_that_failed_goes_on_bit_for_bit_from_its_checkpoint(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_of(tmp_path / "whole", f"tests.support.stateful:{model}", epochs=4)
    expected = row_of(whole)
    steps = Stepping.run

    def failing(self: Stepping, epoch: int, **options: Any) -> list[float]:
        if epoch == 3:
            raise RuntimeError("the device fell off the bus")
        return steps(self, epoch, **options)

    monkeypatch.setattr(Stepping, "run", failing)
    cut = run_of(tmp_path / "cut", f"tests.support.stateful:{model}", epochs=4)
    assert row_of(cut)["status"] == "failed"
    assert (cut.folder / NEWEST).exists(), "nothing newer is whole, and the training is not done"
    monkeypatch.undo()
    row = row_of(cut)
    assert (row["status"], row["num_resumes"]) == ("ok", 1)
    assert losses(cut) == losses(whole)
    for quality in ("test_accuracy", "test_loss", "best_test_accuracy", "num_steps"):
        assert row[quality] == expected[quality]
    assert not [name for name in (NEWEST, PREVIOUS, DAMAGED) if (cut.folder / name).exists()]


def test_a_checkpoint_that_does_not_load_costs_a_line_and_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path, "tests.support.stateful:LateBuffer")

    def broken(*_: object) -> None:
        raise ValueError("the checkpoint is of another model than this one")

    with monkeypatch.context() as patched:
        patched.setattr("ampbench.bench.worker.measurement.Passes.take", broken)
        patched.setattr("ampbench.bench.worker.cell.delete_checkpoints", lambda _: None)
        row_of(run)
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("checkpoint*.pt")}
    assert kept
    monkeypatch.setattr("ampbench.bench.train.state.training_state.load_model_state", broken)
    row = row_of(run)
    place = f"test_endings.py:{broken.__code__.co_firstlineno + 1}"  # as of a model's own error
    assert (row["status"], row["because"]) == (
        "failed",
        f"ValueError: the checkpoint is of another model than this one ({place})",
    )
    assert {path.name: path.read_bytes() for path in tmp_path.glob("checkpoint*.pt")} == kept


def test_a_checkpoint_of_another_version_is_kept_and_the_row_says_both_ways_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    run = run_of(tmp_path, "tests.support.tiny:Net")
    with monkeypatch.context() as patched:
        patched.setattr("ampbench.bench.worker.measurement.Passes.take", interrupt)
        patched.setattr("ampbench.bench.worker.checkpoints.LAYOUT", 1)
        with pytest.raises(Interrupted):
            row_of(run)
    row = row_of(run)
    assert row["status"] == "failed"
    assert row["because"].startswith(
        f"ValueError: the checkpoint in {tmp_path} was made by another version of ampbench"
    )
    assert "finish the training with that version, or delete checkpoint*.pt there to start over" in row["because"]
    assert (tmp_path / NEWEST).exists()
    (tmp_path / NEWEST).unlink()
    assert row_of(run)["status"] == "ok"


@pytest.mark.whole
def test_all_stateful_models_are_measured_to_the_end(tmp_path: Path) -> None:
    for kind in (*stateful.RESTORED, stateful.HalfUsedUp):
        row = row_of(run_of(tmp_path / kind.__name__, f"tests.support.stateful:{kind.__name__}", ema_decay=0.9))
        assert row["status"] == "ok", (kind, row["because"])
