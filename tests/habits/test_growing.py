"""Counts and predictions of models that are complete only after their first images, and of frozen ones."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from torch import nn

from ampbench.bench.launch.shown.prediction import predict_memory
from ampbench.bench.worker.passes import prediction
from ampbench.bench.worker.passes.prediction import predict_peak_bytes
from tests.conftest import ROOT
from tests.habits import growing, numbers, outputs
from tests.habits.ending import Net, cell_of, end, end_once
from tests.support.thinned import thinned


@pytest.mark.parametrize(
    ("model", "recipe"),
    thinned(
        product(
            [growing.ScaledByFirst, growing.ScaledByFirstBuffer, growing.OfTwoDtypes], ["fp32", "bf16_amp", "bf16"]
        ),
        kept=3,
    ),
)
def test_a_model_that_sets_weights_by_its_first_images_is_counted_and_predicted(
    model: type[nn.Module], recipe: str
) -> None:
    row = end(model, recipe)
    assert (row["status"], row["because"]) == ("ok", None)
    assert row.get("passes_failed") is None
    assert row["forward_flops"] == end_once(Net, recipe)["forward_flops"]
    plain = predict_peak_bytes(cell_of(Net, recipe))
    assert plain <= predict_peak_bytes(cell_of(model, recipe)) < 2 * plain


@pytest.mark.parametrize("model", [numbers.ComplexWeights, numbers.Float64Island, numbers.AllFloat64, outputs.AsDict])
def test_models_of_every_habit_are_predicted(model: type[nn.Module]) -> None:
    assert predict_peak_bytes(cell_of(model, batch_size=128)) > 2**20


def test_frozen_layers_train_nothing_cost_no_gradient_and_stay() -> None:
    frozen, plain = end(growing.OnlyItsHead), end_once(Net)
    assert (frozen["status"], frozen["because"]) == ("ok", None)
    assert frozen["num_parameters"] == 5130
    assert frozen["forward_flops"] == plain["forward_flops"]
    assert frozen["backward_flops"] == 2 * 512 * 10  # of the head's weights alone
    assert predict_peak_bytes(cell_of(growing.OnlyItsHead)) < predict_peak_bytes(cell_of(Net))


def test_a_model_without_a_weight_that_trains_says_so_in_a_line() -> None:
    row = end(growing.AllFrozen)
    assert row["status"] == "failed"
    assert "the model has no parameter that trains" in row["because"]


def test_what_a_model_prints_is_no_answer(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    cells = json.dumps([cell_of(model).to_json() for model in (growing.Prints, Net)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(cells))
    monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", buffering=1, closefd=False))
    monkeypatch.setattr(sys, "path", [*sys.path])
    stdout = os.dup(1)
    try:
        prediction.main()
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
    said = capfd.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [{"bytes": predict_peak_bytes(cell_of(Net))}] * 2
    assert "{past Python}" in said.err


@pytest.mark.whole
def test_what_a_model_prints_is_no_answer_and_one_that_ends_the_process_spoils_its_own_alone() -> None:
    cells = [cell_of(model) for model in (growing.Prints, growing.Leaves, Net)]
    printed, left, plain = predict_memory(cells, lambda _: None).values()
    assert printed == plain == predict_peak_bytes(cell_of(Net))
    assert left == "the model ended the process that it was built in (exit code 7)"


@pytest.mark.whole
def test_a_plan_predicts_a_model_in_the_current_folder_whose_module_prints(tmp_path: Path) -> None:
    (tmp_path / "mynet.py").write_text("print('imported')\nfrom tests.habits.ending import Net\n")
    (tmp_path / "models.py").write_text("raise SystemExit('not ours')\n")
    (tmp_path / "own.toml").write_text(
        'question = "?"\n[fixed]\nmodel = "mynet:Net"\ndata = "digits"\nimage_size = 16\nbatch_size = 64\n'
        'precision = "fp32"\nlearning_rate = 0.1\n'
    )
    command = [sys.executable, str(ROOT / "bench" / "run_matrix.py"), "own.toml", "--plan", "--predict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, timeout=300)
    assert done.returncode == 0, done.stderr
    assert " MiB)" in done.stdout
    assert "? MiB" not in done.stdout
    assert "imported" not in done.stdout
