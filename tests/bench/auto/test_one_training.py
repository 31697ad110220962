"""run_one.py without a value, with --auto, and with a flag that says auto: what is chosen, announced and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ampbench.bench import run_one
from ampbench.bench.auto.one_training import TRAINER, chosen_training, wanted_rules, with_chosen
from ampbench.bench.machine.hardware import Hardware, find_hardware
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.flags import file_of
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.study_s3 import STUDY_S3
from tests.conftest import ROOT
from tests.support.machines import NO_GPU, STUDY_S4, FakeDriver, kernel

NOTHING = {
    "precision": None,
    "dtype": None,
    "amp": False,
    "loss_scale_s3": False,
    "launcher": "local",
    "tf32": False,
    "auto": None,
}


def hardware(tmp_path: Path, driver: FakeDriver = NO_GPU) -> Hardware:
    return find_hardware({}, library=driver, root=kernel(tmp_path))


def settings(**own: Any) -> run_one.OneTraining:
    typed = own.pop("typed", {})
    return run_one.settings_of(typed, NOTHING | {"gpus_chosen": "all"} | own)


def test_what_is_chosen_is_a_cell_that_can_be_run(tmp_path: Path) -> None:
    for driver in (NO_GPU, STUDY_S4):
        training = chosen_training(hardware(tmp_path, driver), {}, None)
        text = file_of("?", training.typed, training.precision)
        (cell,) = make_plan(parse_experiment(tmp_path / "x.toml", text)).cells
        assert (cell.precision.name, cell.epochs, cell.schedule, cell.grad_clip) == ("bf16_amp", 50, "stable", 1.0)
        assert cell.gpus == max(1, len(hardware(tmp_path, driver).gpus))


def test_it_is_announced_with_hardware_ignored_boards_model_and_a_reason_for_each(tmp_path: Path) -> None:
    text = "\n".join(chosen_training(hardware(tmp_path, STUDY_S4), {"seed": "3"}, "fp32").lines)
    for said in (
        "[hardware]  2x NVIDIA GeForce RTX 3090, 48 GiB in all",
        "[GPU]       GPU 0, NVIDIA RTX A6000 is ignored: of another model",
        "[data]      cifar10",
        "[model]     PowerCifarNet_x1_5, 10,916,266 parameters with 10 classes: 2 GPUs or more, or 40 GB",
        "[batch]     192: 384 images a step for 52 GB of GPU memory, 40 or more, on 2 GPUs together (study S4)",
        "[rate]      0.1732: 0.1 * sqrt(384 / 128) (study S4)",
        "[precision] fp32: given",
        "[workers]   none: the images stay on the device",
        "[training]  epochs 50, optimizer nesterov",
    ):
        assert said in text, said


def test_no_value_given_means_all_are_chosen_and_any_value_means_study_s3() -> None:
    assert settings().choices
    for given in ({"typed": {"model": "LeNet"}}, {"amp": True, "dtype": "bf16"}, {"dtype": "fp32"}, {"auto": False}):
        training = settings(**given)
        assert not training.choices
        assert dict(training.typed) == STUDY_S3 | given.get("typed", {})
    auto = settings(typed={"model": "LeNet", "epochs": "1"}, auto=True)
    assert (auto.typed["model"], auto.typed["epochs"], auto.typed["schedule"]) == ("LeNet", "1", TRAINER["schedule"])


def test_a_flag_that_says_auto_is_chosen_alone(tmp_path: Path) -> None:
    training = with_chosen(hardware(tmp_path), STUDY_S3 | {"batch_size": "auto", "learning_rate": "auto:sqrt"}, "fp32")
    assert {choice.field for choice in training.choices} == {"batch_size", "learning_rate"}
    assert (training.typed["batch_size"], training.typed["learning_rate"]) == ("128", "0.1")
    assert (training.typed["model"], training.typed["epochs"], training.precision) == ("VGG19", "200", "fp32")
    by_itself = with_chosen(hardware(tmp_path), STUDY_S3, "auto")
    assert by_itself.precision == "bf16_amp"
    loading = {"loader": "dataloader", "num_workers": "auto:memory"}
    assert int(with_chosen(hardware(tmp_path), STUDY_S3 | loading, "fp32").typed["num_workers"]) >= 1


def test_without_a_loader_process_workers_keep_their_default(tmp_path: Path) -> None:
    training = with_chosen(hardware(tmp_path), STUDY_S3 | {"num_workers": "auto"}, "fp32")
    assert "num_workers" not in training.typed
    assert "[workers]   none" in "\n".join(training.lines)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"batch_size": "auto:largest"}, "--batch-size auto:largest: no rule 'largest'"),
        ({"momentum": "auto"}, "--momentum auto: no rule chooses it; give a value. Rules choose: gpus, model"),
        ({"precision": "auto:studdy"}, "--precision auto:studdy: no rule 'studdy'. Did you mean 'study'?"),
    ],
)
def test_a_rule_that_is_none_is_said_in_the_words_typed(typed: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        wanted_rules(typed)
    assert str(caught.value).startswith(said)


def test_a_model_of_a_package_called_auto_is_no_rule() -> None:
    with pytest.raises(RequestError, match="no rule 'Net'"):
        wanted_rules({"model": "auto:Net"})
    assert not wanted_rules({"model": "autos:Net", "augment": "none"})


def one(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/run_one.py", *words]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True)


def test_the_plan_of_a_training_without_values_is_its_announcement_and_its_cell() -> None:
    done = one("--plan")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[hardware]")
    assert "To run: 1 cell" in done.stdout


@pytest.mark.whole
def test_a_training_whose_values_were_chosen_runs_keeps_its_choices_its_weights_and_tells_of_its_history(
    tmp_path: Path,
) -> None:
    words = ["--auto", "--data", "digits", "--model", "LeNet", "--epochs", "1", "--num-threads", "1"]
    done = one(*words, "--results", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    row = pq.read_table(tmp_path / "run_one" / "cells.parquet").to_pylist()[0]
    assert (row["status"], row["batch_size"], row["augment"]) == ("ok", 128, [])
    choices = json.loads((tmp_path / "run_one" / "choices.json").read_text())
    assert {choice["field"]: choice["by"] for choice in choices}["model"] == "user"
    folders = [path.name for path in (tmp_path / "run_one" / "runs").iterdir()]
    assert {choice["subject"] for choice in choices} == set(folders)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("[hardware]")
    assert any(line.startswith("Best weights: ") and line.endswith("best.pt") for line in lines)
    [history] = [line for line in lines if line.startswith("History of its epochs: ")]
    command = history.partition(": ")[2].replace("training_history.json", str(tmp_path / "history.json"))
    subprocess.run([sys.executable, *command.split()[1:]], cwd=ROOT, check=True)
    assert [epoch["epoch"] for epoch in json.loads((tmp_path / "history.json").read_text())] == [1]
