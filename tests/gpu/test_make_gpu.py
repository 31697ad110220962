"""`make gpu`, rehearsed without a GPU: its steps, its minutes, and what it says of a machine."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from ampbench.bench.machine.nvml import Nvml
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.plan.packages import requirement
from ampbench.bench.plan.recipe import RECIPES
from experiments.gpu.__main__ import steps_for
from experiments.gpu.kernels import SCHEMA, kernels_of
from experiments.gpu.nvml import ask, raw
from experiments.gpu.steps import Step, limit_s, run_steps, slug
from tests.conftest import ROOT
from tests.support.replayed_nvml import NOT_SUPPORTED, ReplayedNvml, board
from tests.support.stand_in_gpu import with_gpus


def step(name: str, *command: str, share: float = 1, at_least_s: float = 0) -> Step:
    return Step(name=name, about="a trial", command=command, share=share, at_least_s=at_least_s)


def shell(name: str, script: str, share: float = 1) -> Step:
    return step(name, "sh", "-c", script, share=share)


def run(*steps: Step, minutes: float) -> tuple[dict[str, str], str, str]:
    """Run steps; return how each ended, what was said of them, and the log of what they printed."""
    log, said = io.StringIO(), []
    outcomes = run_steps(steps, minutes=minutes, say=said.append, log=log, grace_s=0.5)
    return {outcome.name: outcome.ending for outcome in outcomes}, "\n".join(said), log.getvalue()


def test_a_step_that_fails_hangs_or_is_not_there_never_stops_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    endings, said, log = run(
        shell("red", "echo before; exit 3"),
        step("absent", "/no/such/python"),
        shell("killed", "kill -9 $$"),
        shell("hangs", "trap '' INT TERM; echo hangs; while :; do sleep 1; done", share=1),
        shell("fine", "echo after"),
        minutes=4 / 60,
    )
    assert endings.pop("absent").startswith("did not start: ")
    assert endings == {"red": "exit 3", "killed": "exit -9", "hangs": "stopped", "fine": "done"}
    assert log.split() == ["before", "hangs", "after"]
    assert capsys.readouterr().out == log
    assert "[1/5] red: exit 3 after 0 s" in said


def test_the_minutes_are_kept_whatever_the_steps_do() -> None:
    begun_s = time.monotonic()
    hanging = [shell(f"hangs{i}", "trap '' INT; sleep 60 & wait; sleep 60") for i in range(4)]
    endings, *_ = run(*hanging, minutes=4 / 60)
    assert set(endings.values()) == {"stopped"}
    assert time.monotonic() - begun_s < 4 + 2


def test_what_a_step_leaves_of_its_time_goes_to_those_after_it() -> None:
    steps = [step("a", share=1), step("b", share=2), step("c", share=1)]
    assert [limit_s(steps, 0, 400), limit_s(steps, 1, 300), limit_s(steps, 2, 100)] == [100, 200, 100]
    assert limit_s(steps, 1, 390) == 260


def test_a_step_that_is_told_to_stop_may_still_join_what_it_has() -> None:
    endings, _, log = run(shell("matrix", "trap 'echo joined; exit 130' INT; sleep 60 & wait"), minutes=2 / 60)
    assert (endings["matrix"], log) == ("stopped", "joined\n")


def test_a_step_with_too_little_time_is_left_out_and_said_so() -> None:
    endings, said, _ = run(step("long", "true", at_least_s=60), shell("short", "true"), minutes=1 / 60)
    assert endings == {"long": "left out", "short": "done"}
    assert "long: left out, 0 s are left for it and it takes 60" in said


def test_what_a_step_started_ends_with_it(tmp_path: Path) -> None:
    run(shell("leaves", f"sleep 60 & echo $! > {tmp_path}/pid"), minutes=4 / 60)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while (stat := Path(f"/proc/{pid}/stat")).exists() and stat.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the child outlived its step"
        time.sleep(0.05)


def test_evidence_comes_before_tests_and_every_file_of_it_is_an_experiment(tmp_path: Path) -> None:
    steps = {step.name: step for step in steps_for(tmp_path)}
    names = list(steps)
    assert names.index("nvml") < names.index("evidence") < names.index("tests")
    files = [word for step in steps.values() for word in step.command if word.endswith(".toml")]
    plans = {file: make_plan(read_experiment(ROOT / file)) for file in files}
    evidence = plans["experiments/gpu_evidence.toml"]
    assert {cell.model for cell in evidence.cells} == {"VGG19", "ResNet18"}
    assert {cell.precision.name for cell in evidence.cells} == {name for name in RECIPES if name != "fp8"}
    assert set(evidence.experiment.protocol.passes) == {"phases", "roofline", "memory", "snapshot"}
    for step in steps.values():
        assert all((ROOT / word).exists() for word in step.command if word.endswith((".toml", ".py")))


def test_a_board_is_a_folder() -> None:
    assert [slug(name) for name in ("NVIDIA H200", "NVIDIA A100-SXM4-80GB", "NVIDIA GeForce RTX 3090")] == [
        "h200",
        "a100-sxm4-80gb",
        "rtx-3090",
    ]


def test_every_question_is_a_row_with_the_raw_answer_or_the_error() -> None:
    nvml = Nvml(ReplayedNvml(board(1, energy_mj=NOT_SUPPORTED, processes=[(77, 10**9)])))
    rows = {row["field"]: row["answer"] for row in ask(nvml, "handle", "idle")}
    assert rows["energy_j"] == "NVMLError_NotSupported: Not Supported"
    assert rows["power_w"] == "500000"
    assert rows["processes"] == "[pid=77 usedGpuMemory=1000000000]"
    assert raw([]) == "[]"


def test_kernels_are_rows_and_a_recipe_that_does_not_run_is_one_with_the_reason() -> None:
    device = torch.device("cpu")
    rows = kernels_of("LeNet", "fp32", device, batch_size=8)
    assert any(row["dtype"] for row in rows) or all(row["ms"] >= 0 for row in rows)
    assert {"model", "recipe", "kernel", "ms", "dtype"} <= rows[0].keys() <= set(SCHEMA.names)
    (refused,) = kernels_of("LeNet", "tf32", device, batch_size=8)
    assert refused["because"].startswith("Unsupported: ")


def make_gpu(*arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=600)


def test_without_a_gpu_it_says_so_and_a_step_that_is_not_there_is_named(tmp_path: Path) -> None:
    none = make_gpu(environ=with_gpus("NVIDIA H200", CUDA_VISIBLE_DEVICES=""))
    assert (none.returncode, none.stderr) == (2, "no GPU here, so nothing to give evidence of; on a CPU: make test\n")
    unknown = make_gpu("--only", "kernel", environ=with_gpus("NVIDIA H200"))
    assert unknown.returncode == 2
    assert "--only kernel: no such step; steps are nvml, evidence, " in unknown.stderr


@pytest.mark.whole
def test_what_is_missing_is_said_up_front_with_what_to_carry(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT / "tests" / "support" / "bare"), str(ROOT)])
    hidden = "pydantic,annotated_types,typing_inspection,torchao,nbformat"
    environ = with_gpus("NVIDIA H200", PYTHONPATH=path, AMPBENCH_TEST_HIDDEN=hidden)
    done = make_gpu("--only", "nvml", "--minutes", "1", "--results", str(tmp_path), environ=environ)
    said, _, rest = done.stdout.partition("[1/1] nvml")
    assert "missed only where it is used: torchao" in said
    assert "nothing is measured without: pydantic>=" in said
    assert "(wheels of pydantic, pydantic-core, annotated-types, typing-inspection, typing-extensions)" in said
    assert f"-d wheels '{requirement('pydantic')}'" in said
    assert "energy_j" in rest, "NVML is asked all the same"
    assert pq.read_table(tmp_path / "nvml.parquet").num_rows > 20


@pytest.mark.whole
def test_on_a_board_that_cuda_cannot_find_every_step_is_red_and_all_of_them_run(tmp_path: Path) -> None:
    begun_s = time.monotonic()
    environ = with_gpus("NVIDIA H200", OMP_NUM_THREADS=1)
    done = make_gpu("--minutes", "4", "--results", str(tmp_path), environ=environ)
    assert time.monotonic() - begun_s < 240 + 15
    assert done.returncode == 1, done.stdout + done.stderr
    endings = {o["name"]: o["ending"] for o in json.loads((tmp_path / "steps.json").read_text())}
    assert list(endings) == [step.name for step in steps_for(tmp_path)]
    assert endings["nvml"] == endings["kernels"] == endings["tests"] == "exit 1"
    rows = pq.read_table(tmp_path / "gpu_evidence" / "cells.parquet").to_pylist()
    assert {row["status"] for row in rows} == {"failed"}
    assert all("does not start on this board" in row["because"] for row in rows)
    assert "gpu_evidence/cells.parquet" in done.stdout
    assert "gpu_evidence cells: 18 failed" in done.stdout
    assert "Traceback" not in (tmp_path / "make_gpu.log").read_text().partition("tests:")[0]


def test_a_person_who_stops_it_stops_the_step_and_is_told_how_it_goes_on(tmp_path: Path) -> None:
    """Whether by Ctrl-C or by a job's end, and also where it runs in the background of a shell, with SIGINT ignored."""
    environ = with_gpus("NVIDIA H200")
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "sys.argv = ['gpu', '--results', sys.argv[1]]\n"
        "from experiments.gpu import __main__ as command\n"
        "from experiments.gpu.steps import Step\n"
        "script = \"trap 'echo joined; exit 130' INT; echo begun; while true; do sleep 0.1; done\"\n"
        "command.steps_for = lambda folder: [Step(name='a', about='-', command=('sh', '-c', script), share=1)]\n"
        "sys.exit(command.main())"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    said = ""
    while "begun" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGTERM)
    said += process.stdout.read()
    assert process.wait() == 130
    assert "joined" in said
    assert said.rstrip().endswith("interrupted; the same command goes on")
