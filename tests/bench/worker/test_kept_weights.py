"""python -m ampbench evaluate RUN: kept weights give the numbers of their training, and errors are one line."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import typer
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from ampbench.bench.evaluate import load_run, main
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.final import final_lines, lines_of_run
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from ampbench.bench.worker.checkpoints import Checkpoints
from ampbench.bench.worker.kept_weights import evaluate_kept, weights_path
from ampbench.bench.worker.measurement import Measurement
from ampbench.schema.files import BEST, FINAL
from tests.conftest import ROOT
from tests.support.measuring import record_of, row_of, traces_of
from tests.support.tiny import Net

CPU = torch.device("cpu")
CELL = Cell(
    model="tests.support.tiny:Net",
    data="digits",
    image_size=8,
    batch_size=64,
    epochs=3,
    learning_rate=0.1,
    augment=(),
    num_threads=1,
    precision=RECIPES["fp32"],
)

Trained = Callable[..., tuple[Run, dict[str, Any]]]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train a cell, each only once."""

    @functools.cache
    def once(cell: Cell = CELL, **measure: Any) -> tuple[Run, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("trained") / "runs" / cell.run_folder
        protocol, board = MeasurementProtocol(passes=(), **measure), Board(board_id="cpu")
        run = Run(folder=folder, cell=cell, protocol=protocol, budget=Budget(), board=board, order=1, command="")
        run.save()
        measurement = Measurement(cell, protocol, CPU, lambda **_: None, Checkpoints(folder, 1e9, "x", "y"))
        measurement.take()
        write_run(folder, cell, record_of(row_of(measurement) | {"status": "ok"}), traces_of({}))
        return run, row_of(measurement)

    return once


@pytest.fixture
def trained(train: Trained, tmp_path: Path) -> Trained:
    """A trained cell, whose folder is the test's own."""

    def copied(*cell: Cell, **measure: Any) -> tuple[Run, dict[str, Any]]:
        run, row = train(*cell, **measure)
        folder = tmp_path / "runs" / run.folder.name
        shutil.copytree(run.folder, folder)
        return replace(run, folder=folder), row

    return copied


@pytest.mark.parametrize("recipe", ["fp32", "bf16", "bf16_amp", "fp16_amp_scaled"])
def test_the_best_weights_have_the_accuracy_that_was_recorded(trained: Trained, recipe: str) -> None:
    run, row = trained(replace(CELL, precision=RECIPES[recipe]), keep_best=True)
    found = evaluate_kept(run, weights_path(run))
    assert found.evaluation.test_accuracy == row["best_test_accuracy"]
    assert (found.epoch, found.num_test_images) == (row["best_epoch"], 360)


def test_the_last_weights_are_taken_where_there_are_no_best_ones(trained: Trained) -> None:
    run, row = trained(keep_final=True)
    found = evaluate_kept(run, weights_path(run))
    assert weights_path(run).name == FINAL
    for column in ("test_loss", "test_accuracy", "macro_precision", "macro_recall", "macro_f1"):
        assert getattr(found.evaluation, column) == pytest.approx(row[column], rel=1e-6)


def test_averaged_weights_are_those_that_are_kept(trained: Trained) -> None:
    run, row = trained(replace(CELL, ema_decay=0.9), keep_final=True)
    assert evaluate_kept(run, weights_path(run)).evaluation.test_accuracy == row["test_accuracy"]


class Late(Net):
    """Has a buffer that is made in the first forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", None)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if self.shift is None:
            self.shift = x_NCHW.mean().detach()
        return super().forward(x_NCHW - self.shift)


def test_a_buffer_that_appears_in_the_first_forward_comes_back(trained: Trained) -> None:
    run, row = trained(replace(CELL, model="tests.bench.worker.test_kept_weights:Late"), keep_best=True)
    assert evaluate_kept(run, weights_path(run)).evaluation.test_accuracy == row["best_test_accuracy"]


def test_the_size_of_a_batch_changes_nothing(trained: Trained) -> None:
    run, _ = trained(keep_best=True)
    small, large = (evaluate_kept(run, weights_path(run), batch_size=n).evaluation for n in (7, 1000))
    assert small.test_accuracy == large.test_accuracy
    assert small.test_loss == pytest.approx(large.test_loss, rel=1e-5)


def test_another_test_set_is_normalised_as_the_training_was(trained: Trained, tmp_path: Path) -> None:
    """The digits' own test images as a folder: the same numbers, because the folder's own statistics are not used."""
    from ampbench.bench.train.images.images import load_images

    digits = load_images("digits", 8)
    for split, chosen in (("train", range(120)), ("test", range(360))):
        for i in chosen:
            place = tmp_path / "data" / split / str(int(digits.test_y_N[i]))
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.ascontiguousarray(digits.test_x_NCHW[i].permute(1, 2, 0).numpy())
            Image.fromarray(pixels).save(place / f"{i}.png")
    run, row = trained(keep_best=True)
    found = evaluate_kept(run, weights_path(run), data=f"folder:{tmp_path / 'data'}")
    assert found.evaluation.test_accuracy == row["best_test_accuracy"]


def said(*words: object) -> tuple[int, str]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.stdout if done.exit_code == 0 else str(done.exception)


def test_it_says_samples_loss_accuracy_and_macro_numbers(trained: Trained) -> None:
    run, row = trained(keep_final=True)
    code, text = said(run.folder, "--batch-size", 50)
    assert code == 0
    assert text.splitlines()[1:] == [
        "Total samples: 360",
        f"Mean loss: {row['test_loss']:.4f}",
        f"Accuracy: {row['test_accuracy']:.4f}",
        f"Macro precision: {row['macro_precision']:.4f}",
        f"Macro recall: {row['macro_recall']:.4f}",
        f"Macro F1: {row['macro_f1']:.4f}",
    ]
    lines = list(final_lines(record_of(row).measured.evaluation, 360))
    assert lines == lines_of_run(run.folder) == text.splitlines()[1:]


def test_without_weights_the_line_says_how_they_are_kept(trained: Trained) -> None:
    run, _ = trained()
    with pytest.raises(RequestError, match=r"neither best\.pt nor model_final\.pt.*keep_best = true"):
        weights_path(run)


def test_the_file_that_was_named_is_the_one_that_is_evaluated(trained: Trained) -> None:
    run, _ = trained(keep_best=True, keep_final=True)
    _, text = said(run.folder / FINAL)
    assert text.startswith(f"{run.folder / FINAL} of epoch 3")
    assert weights_path(run, run.folder / "record.parquet").name == BEST
    assert weights_path(run, run.folder).name == BEST


def test_a_record_of_no_rows_is_a_run_without_weights(trained: Trained) -> None:
    run, _ = trained()
    pq.write_table(pq.read_table(run.record_path).slice(0, 0), run.record_path)
    with pytest.raises(RequestError, match=r"neither best\.pt nor model_final\.pt"):
        weights_path(run)


def test_a_training_that_broke_off_is_not_told_to_ask_for_weights(trained: Trained) -> None:
    run, row = trained()
    write_run(run.folder, CELL, record_of(row | {"status": "diverged"}), traces_of({}))
    with pytest.raises(RequestError, match="the training ended diverged before there were any"):
        weights_path(run)


def test_a_folder_of_results_names_its_runs(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained()
    with pytest.raises(RequestError, match=f"holds 1 runs; name one of them: .*{run.folder.name}"):
        load_run(tmp_path)
    with pytest.raises(RequestError, match=r"no cell\.json"):
        load_run(tmp_path / "nowhere")
    assert load_run(run.folder / "record.parquet").cell == run.cell


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda run: (run.folder / BEST).write_bytes(b"torn"), "truncated or no checkpoint"),
        (lambda run: torch.save({"epoch": 1}, run.folder / BEST), "holds no weights"),
        (
            lambda run: torch.save({"epoch": 1, "classes": list("0123456789"), "model": {}}, run.folder / BEST),
            r"does not fit tests\.support\.tiny:Net as it is now: .*Missing key",
        ),
        (
            lambda run: torch.save({"epoch": 1, "classes": ["cat", "dog"], "model": {}}, run.folder / BEST),
            "has 10 classes, and best.pt knows 2 .cat, dog",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(trained: Trained, harm: Callable[[Run], Any], words: str) -> None:
    run, _ = trained(keep_best=True)
    harm(run)
    with pytest.raises(RequestError, match=words) as caught:
        evaluate_kept(run, weights_path(run))
    assert "\n" not in str(caught.value)


def test_data_that_is_not_there_and_a_precision_that_a_cpu_lacks_are_one_line(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained(keep_best=True)
    with pytest.raises(RequestError, match="nowhere"):
        evaluate_kept(run, weights_path(run), data=f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(RequestError, match=r"no folder '.*nowhere'; mend the path"):
        evaluate_kept(run, weights_path(run), data=f"folder:{tmp_path / 'nowhere'}")
    tf32 = replace(run, cell=replace(CELL, precision=RECIPES["tf32"]))
    with pytest.raises(RequestError, match="TF32 is a mode of NVIDIA GPUs"):
        evaluate_kept(tf32, weights_path(run))


@pytest.mark.whole
def test_the_command_runs_from_any_folder(trained: Trained, tmp_path: Path) -> None:
    run, row = trained(keep_best=True)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[1:] = ['evaluate', {str(run.folder)!r}]; "
    code += "import runpy; runpy.run_module('ampbench', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Accuracy: {row['best_test_accuracy']:.4f}" in done.stdout
