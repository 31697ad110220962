"""check_env: a healthy set-up, and broken ones, each with a line that says what to do and the exit code 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench import check_env
from ampbench.bench.auto import checks, trial
from ampbench.bench.auto.checks import TORCH_MARK, boards_usable, compare, findings, torch_agrees
from ampbench.bench.launch.readiness.finding import Finding, Subject, failed, ok
from ampbench.bench.machine import driver
from ampbench.bench.plan.matrix import Plan
from tests.conftest import ROOT
from tests.support.machines import EIGHT_OF_80_GB, NO_GPU, STUDY_S4, FakeDriver, kernel


def subject(tmp_path: Path, driver: FakeDriver | None = NO_GPU, **changes: Any) -> Subject:
    given: dict[str, Any] = {
        "results": tmp_path / "results",
        "data": (("digits", 32),),
        "models": ("LeNet",),
        "environ": dict(os.environ),
        "library": driver,
        "root": kernel(tmp_path / "kernel"),
    }
    return Subject(**given | changes)


def found_by(monkeypatch: pytest.MonkeyPatch, said: dict[str, Finding]) -> None:
    """Let every check find OK, or what is given."""
    everything = tuple(
        checks.Check(name=check.name, ask=lambda _, name=check.name: said.get(name, ok("good")))
        for check in checks.QUICK
    )
    monkeypatch.setattr(checks, "QUICK", everything)


def test_every_check_has_a_name_of_its_own_and_the_training_is_the_last() -> None:
    names = [check.name for check in checks.QUICK]
    assert len(set(names)) == len(names)
    assert {"python", "packages", "memory", "results", "cache", "data", "boards", "torch"} <= set(names)


def test_the_exit_code_is_1_if_anything_failed_and_0_with_warnings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found_by(monkeypatch, {"memory": Finding(level="warning", said="little")})
    assert check_env.main(training=False) == 0
    out = capsys.readouterr().out
    assert "WARNING memory     little" in out
    assert out.splitlines()[-1].startswith("Ready: ")
    assert "1 to know about" in out
    found_by(monkeypatch, {"data": failed("none; put some there")})
    assert check_env.main() == 1
    out = capsys.readouterr().out
    assert "FAILED  data       none; put some there" in out
    assert "WARNING training   not tried, for data failed" in out
    assert out.splitlines()[-1].startswith("Not ready: 1 of ")
    assert check_env.main(as_data=True) == 1
    rows = json.loads(capsys.readouterr().out)
    assert {"check": "data", "level": "failed", "said": "none; put some there"} in rows


def test_a_driver_without_its_bindings_fails_with_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(driver, "NVIDIA_DEVICE", str(tmp_path))
    found = boards_usable(subject(tmp_path, None))
    assert found.level == "failed"
    assert "-m pip install 'nvidia-ml-py" in found.said


def test_a_driver_that_does_not_answer_fails_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "NVIDIA_DEVICE", str(tmp_path))
    found = boards_usable(subject(tmp_path, NO_GPU))
    assert found.level == "failed"
    assert found.said.endswith("reboot, in a container start it with --gpus all")


def test_boards_are_listed_with_driver_and_those_ignored_and_wrong_requests_fail(tmp_path: Path) -> None:
    found = boards_usable(subject(tmp_path, STUDY_S4, environ={}))
    assert found.level == "ok"
    for said in ("GPU 1, NVIDIA GeForce RTX 3090, GPU 2", "driver 580.65, up to CUDA 13.0", "ignored: GPU 0"):
        assert said in found.said
    assert boards_usable(subject(tmp_path, STUDY_S4, environ={}, gpus="9")).level == "failed"
    wrong = boards_usable(subject(tmp_path, NO_GPU, environ={"CUDA_VISIBLE_DEVICES": "0"}))
    assert (wrong.level, "cells run on the CPU" in wrong.said) == ("warning", True)


@pytest.mark.parametrize(
    ("facts", "level", "said"),
    [
        ({"cuda": None, "gpus": [], "because": None}, "failed", "built without CUDA, and there is NVIDIA H100"),
        (
            {"cuda": "13.2", "gpus": [], "because": "driver too old"},
            "failed",
            "(driver too old); the driver runs CUDA up to 13.0",
        ),
        ({"cuda": "12.8", "gpus": [], "because": None}, "failed", "it finds no GPU"),
        ({"cuda": "12.8", "gpus": ["NVIDIA H100"], "because": None}, "ok", "computes on NVIDIA H100"),
    ],
)
def test_a_torch_that_cannot_use_the_gpus_fails(tmp_path: Path, facts: dict[str, Any], level: str, said: str) -> None:
    on = subject(tmp_path, EIGHT_OF_80_GB, environ={})
    found = compare({"torch": "2.15.0", **facts}, [gpu.name for gpu in on.hardware.gpus], on)
    assert found.level == level
    assert said in found.said


def test_without_a_gpu_any_torch_will_do(tmp_path: Path) -> None:
    facts = {"torch": "2.15.0", "cuda": None, "gpus": [], "because": None}
    assert compare(facts, [], subject(tmp_path)).level == "ok"


def test_a_torch_that_does_not_load_says_how_it_ended(tmp_path: Path) -> None:
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libtorch_cpu.so: cannot open shared object file')")
    code = (
        "from pathlib import Path; from ampbench.bench.auto.checks import torch_agrees;"
        "from ampbench.bench.launch.readiness.finding import Subject;"
        "print(torch_agrees(Subject(results=Path('x'), data=())))"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, cwd=ROOT)
    assert "libtorch_cpu.so: cannot open shared object file" in done.stdout, done.stderr
    assert "-m pip install -U torch" in done.stdout
    assert "level='failed'" in done.stdout


def test_cifar_10_out_of_reach_is_a_warning_where_other_data_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "data_there", lambda _: failed("not here"))
    assert checks.cifar_reachable(subject(tmp_path)).level == "warning"
    found_by(monkeypatch, {"cifar10": failed("not here")})
    names = [name for name, _ in findings(subject(tmp_path, data=(("cifar10", 32),)), trains=False)]
    assert "cifar10" not in names, "it is the check of the data then"


def test_a_model_that_is_none_fails_and_the_training_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tuple(check for check in checks.QUICK if check.name == "model")
    monkeypatch.setattr(checks, "QUICK", kept)
    found = dict(findings(subject(tmp_path, models=("LeNett",))))
    assert (found["model"].level, found["training"].level) == ("failed", "warning")
    assert "Did you mean 'LeNet'?" in found["model"].said


def check(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/check_env.py", *words]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=600)


@pytest.mark.whole
def test_a_healthy_set_up_ends_with_a_training_of_two_epochs_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = check("--results", str(tmp_path / "results"), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    [training] = [line for line in lines if " training " in line]
    assert training.startswith("OK      training   LeNet on digits, 2 epochs in ")
    assert "test images" in training
    assert lines[-1].startswith("Ready: ")
    assert not (tmp_path / "results").exists()
    assert not list(tmp_path.glob("ampbench-check-*"))


def test_the_training_of_a_check_takes_no_more_images_than_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def swept(plan: Plan, *_: object) -> int:
        sizes.extend(cell.batch_size for cell in plan.cells)
        return 130

    monkeypatch.setattr(trial, "sweep", swept)
    monkeypatch.setattr(trial, "num_training_images", {"digits": 9}.get)
    with pytest.raises(KeyboardInterrupt):
        trial.train_two_epochs(subject(tmp_path))
    assert sizes == [9]


@pytest.mark.whole
def test_what_fails_in_a_worker_is_said_with_its_reason(tmp_path: Path) -> None:
    done = check("--model", "tests.support.tiny:NoParameters", "--image-size", "8", TMPDIR=str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    [training] = [line for line in done.stdout.splitlines() if " training " in line]
    assert training.startswith("FAILED  training   tests.support.tiny:NoParameters on digits")
    assert training.endswith(": failed: ValueError: the model has no parameter that trains; give it one, or time its "
                             "inference elsewhere")  # fmt: skip


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (None, "; it wrote no log"),
        ("a line\nSegmentation fault\n", "; its log ends with: Segmentation fault"),
        ("a line\nthe reason\n", ""),
    ],
)
def test_the_end_of_the_log_is_said_where_it_is_not_the_reason(log: str | None, said: str, tmp_path: Path) -> None:
    if log is not None:
        (tmp_path / "log.txt").write_text(log)
    assert trial._end_of_log(tmp_path, "the reason") == said


@pytest.mark.whole
def test_without_a_package_the_command_names_it_and_ends_with_1() -> None:
    path = os.pathsep.join([str(ROOT / "tests" / "support" / "bare"), str(ROOT)])
    done = check("--no-training", PYTHONPATH=path, AMPBENCH_TEST_HIDDEN="pandas")
    assert done.returncode == 1, done.stdout + done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert "not installed here: pandas" in line


@pytest.mark.whole
def test_the_process_that_loads_torch_answers_in_one_line() -> None:
    assert torch_agrees(Subject(results=Path("x"), data=())).level == "ok"
    assert (ROOT / "bench/worker/torch_facts.py").read_text().count(f'"{TORCH_MARK}"') == 1


def test_a_person_who_interrupts_the_training_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "sweep", lambda *_: 130)
    with pytest.raises(KeyboardInterrupt):
        trial.train_two_epochs(subject(tmp_path))
