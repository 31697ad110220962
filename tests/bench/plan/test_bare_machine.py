"""A GPU machine without a registry: it has torch and the common packages, and what it lacks is missed only where used.

`tests/support/bare/sitecustomize.py` hides packages from a process and from all that it starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.packages import advice, how_to_install, missing, requirement, requirements, to_carry
from tests.conftest import ROOT, pytest_ignore_collect

NEVER_NEEDED = (
    "torchao,nbformat,nbclient,ipykernel,IPython,jupyter_client,wandb,swanlab,tensorboard,timm,safetensors,transformers,"
    "mypy,ruff,uv"
)
"""None of these is there on such a machine, or on another one."""


def bare(*words: str, hidden: str = NEVER_NEEDED) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "tests" / "support" / "bare"), str(ROOT)])
    environ = os.environ | {"AMPBENCH_TEST_HIDDEN": hidden, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300)


@pytest.mark.whole
def test_a_matrix_runs_to_its_verdict_and_what_needs_a_missing_package_says_which(
    experiment_file: Callable[..., Path], tmp_path: Path
) -> None:
    file = experiment_file(
        """
question = "What is missing?"
[matrix]
precision = ["fp32", "bf16_amp"]
[fixed]
model = "tests.support.tiny:Wide"
data = "digits"
image_size = 32
batch_size = 32
num_threads = 1
[measure]
max_timing_s = 0.5
"""
    )
    done = bare("bench/run_matrix.py", str(file), "--results", str(tmp_path), "--wandb")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pq.read_table(tmp_path / "trial" / "cells.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert "Wide on " in done.stdout  # the answer
    assert "Next: pip install wandb" in done.stdout
    file.write_text(file.read_text().replace("tests.support.tiny:Wide", "timm:resnet18"))
    done = bare("bench/run_matrix.py", str(file), "--results", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install timm" in done.stderr


@pytest.mark.whole
def test_speed_is_measured_without_what_draws_and_what_decodes(
    experiment_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))  # no other test has prepared the digits there
    file = experiment_file(
        """
question = "What is missing?"
[fixed]
data = "synthetic"
model = "tests.support.tiny:Wide"
image_size = 32
precision = "fp32"
batch_size = 32
num_threads = 1
[measure]
max_timing_s = 0.5
"""
    )
    hidden = "torchvision,sklearn,PIL,scipy,seaborn,matplotlib,jinja2,pynvml"
    done = bare("bench/run_matrix.py", str(file), "--results", str(tmp_path), hidden=hidden)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (row,) = pq.read_table(tmp_path / "trial" / "cells.parquet").to_pylist()
    assert row["status"] == "ok"
    assert "no report: not installed here: scipy; " in done.stdout
    file.write_text(file.read_text().replace("synthetic", "digits"))
    for hidden, wanted in (("sklearn", "scikit-learn"), ("torch", "torch")):
        refused = bare("bench/run_matrix.py", str(file), "--results", str(tmp_path), hidden=hidden)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert f"-m pip install '{requirement(wanted)}'" in refused.stderr


@pytest.mark.parametrize("words", [["bench/run_matrix.py"], ["bench/run_one.py"], ["-m", "ampbench", "run"]])
def test_without_pydantic_a_command_ends_in_one_line_that_names_it(words: list[str]) -> None:
    done = bare(*words, "experiments/quickstart.toml", hidden="pydantic,annotated_types")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert "not installed here: pydantic; " in done.stderr
    assert f"-m pip install '{requirement('pydantic')}'" in done.stderr


def test_a_machine_that_only_plans_needs_no_torch() -> None:
    hidden = "torch,torchvision,numpy,pandas,pyarrow,scipy,sklearn"
    done = bare("bench/run_matrix.py", "experiments/gpu_evidence.toml", "--plan", hidden=hidden)
    assert done.returncode == 0, done.stderr
    assert "VGG19" in done.stdout


def test_for_the_gpu_tests_no_file_without_them_is_read() -> None:
    asked: Any = SimpleNamespace(option=SimpleNamespace(markexpr="gpu"))
    files = set((ROOT / "tests").rglob("test_*.py"))
    read = {file for file in files if not any(pytest_ignore_collect(path, asked) for path in (file, file.parent))}
    assert {ROOT / "tests/gpu/test_cuda.py", ROOT / "tests/bench/train/augmentation/test_augment.py"} <= read < files
    assert read == {file for file in files if "mark.gpu" in file.read_text()}


@pytest.mark.whole
def test_the_gpu_tests_are_collected_from_their_own_files_alone() -> None:
    done = bare("-m", "pytest", "-m", "gpu", "--collect-only", "-p", "no:xdist", hidden=NEVER_NEEDED + ",hypothesis")
    assert done.returncode == 0, done.stdout + done.stderr
    files = {line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line}
    assert {"tests/gpu/test_cuda.py", "tests/bench/train/augmentation/test_augment.py"} <= files
    assert files == {path for path in files if "mark.gpu" in (ROOT / path).read_text()}


@pytest.mark.whole
def test_every_test_is_collected_without_what_is_never_needed() -> None:
    done = bare("-m", "pytest", "--collect-only", "-p", "no:xdist")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_what_is_missing_is_named_with_its_bound_and_with_what_it_brings() -> None:
    assert missing(["torch>=2.11", "torch>=99", "no-such-thing>=1", "rich"]) == ["torch>=99", "no-such-thing>=1"]
    assert requirement("pydantic") in requirements()
    carried = ["pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions"]
    assert to_carry([requirement("pydantic")]) == carried
    assert how_to_install(["sklearn.datasets"]).endswith(f"-m pip install '{requirement('scikit-learn')}'")


def test_a_mistyped_module_of_a_user_is_nothing_to_install() -> None:
    assert advice(ModuleNotFoundError("no", name="my_modle.net")) == advice(ImportError("no", name="pandas")) == ""
    assert "pip install 'scikit-learn" in advice(ModuleNotFoundError("no", name="sklearn.datasets"))


@pytest.mark.whole
def test_tests_of_fp8_are_skipped_without_torchao_and_the_others_run() -> None:
    done = bare("-m", "pytest", "-rs", "-p", "no:xdist", "tests/bench/train/precision/test_fp8.py", hidden="torchao")
    assert done.returncode == 0, done.stdout
    assert "6 skipped" in done.stdout
    assert "1 passed" in done.stdout
    assert "pip install torchao" in done.stdout
