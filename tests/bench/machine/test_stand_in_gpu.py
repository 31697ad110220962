"""A sweep on a simulated GPU: launcher, fork server, sampler, refusals and rows, with a stand-in for the driver.

`tests/support/stand_in_gpu/driver.c` replaces the driver's two libraries. NVML lists boards; CUDA starts and finds no
device, so every cell ends where its training would begin.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ampbench.bench.machine.board import Board
from ampbench.bench.worker.timing.board_watch import BoardWatch
from tests.conftest import ROOT
from tests.support.stand_in_gpu import board_id, starts_in, with_gpus

Write = Callable[..., Path]

CELLS = """
question = "What becomes of a cell on a GPU that CUDA cannot find?"
[matrix]
precision = ["fp32", "bf16_amp"]
[fixed]
model = "tests.support.tiny:Wide"
data = "synthetic"
batch_size = 32
num_threads = 1
[budget]
minutes_per_cell = 1
"""


def run(file: Path, *arguments: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "bench/run_matrix.py", str(file), "--results", str(file.parent), *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return pq.read_table(file.parent / file.stem / "cells.parquet").to_pylist()


@pytest.mark.whole
def test_a_matrix_on_boards_that_cuda_cannot_find_is_rows_with_a_plain_reason(
    tmp_path: Path, experiment_file: Write
) -> None:
    """Two H200 in two queues, a third board of another model, and the parent process in NVML's list of processes."""
    file, log = (
        experiment_file(CELLS + '[[include]]\nprecision = "fp32"\nbatch_size = 64\ngpus = 3\n'),
        tmp_path / "log",
    )
    environ = with_gpus("NVIDIA A100-SXM4-80GB", *["NVIDIA H200"] * 2, log=log, pids=os.getpid())
    done = run(file, environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Using NVIDIA H200" in done.stdout
    assert "ignored: NVIDIA A100-SXM4-80GB" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr

    rows = rows_of(file)
    assert {row["machine"] for row in rows} == {"NVIDIA H200"}
    assert {row["board"] for row in rows} <= {board_id(1), board_id(2)}
    assert {(row["driver"], row["power_cap_w"]) for row in rows} == {("580.159.04", 700.0)}
    teams = [row for row in rows if row["gpus"] == 3]
    assert [(row["status"], row["because"]) for row in teams] == [
        ("unsupported", "asks for 3 GPUs of one model, and 2 may be used here")
    ]
    single = [row for row in rows if row["gpus"] == 1]
    assert len(single) == 2
    for row in single:
        assert row["status"] == "failed"
        assert row["because"].startswith("CUDA ")
        assert "does not start on this board, though NVML lists it (No CUDA GPUs are available);" in row["because"]
        assert row["cell_s"] < 60

    starts = starts_in(log)
    launcher = starts[0].pid
    assert starts[0] == ("nvmlInit", launcher, os.getpid(), "unset")
    cuda = [start for start in starts if start.function != "nvmlInit"]
    assert "cuInit" in {start.function for start in cuda}
    assert sorted({start.visible for start in cuda}) == sorted({row["board"] for row in single})
    workers, fork_servers = {start.pid for start in cuda}, {start.parent for start in cuda}
    assert len(workers) == 2, "a cell is a process"
    assert len(fork_servers) == 1
    assert not fork_servers & {start.pid for start in starts}, "the fork server started a library of the driver"
    assert launcher not in workers


@pytest.mark.parametrize(
    ("names", "environ", "arguments", "visible"),
    [
        pytest.param(["NVIDIA H200"] * 3, {"CUDA_VISIBLE_DEVICES": "2,0"}, ["--gpus", "0"], board_id(2), id="chosen"),
        pytest.param(
            ["!NVIDIA H200"], {"CUDA_VISIBLE_DEVICES": board_id(0, "MIG")}, [], board_id(0, "MIG"), id="a slice"
        ),
    ],
)
@pytest.mark.whole
def test_a_worker_sees_the_board_it_was_given_and_no_other(
    names: list[str],
    environ: dict[str, str],
    arguments: list[str],
    visible: str,
    tmp_path: Path,
    experiment_file: Write,
) -> None:
    file, log = experiment_file(CELLS), tmp_path / "log"
    done = run(file, *arguments, environ=with_gpus(*names, log=log, **environ))
    assert done.returncode == 0, done.stdout + done.stderr
    starts = starts_in(log)
    given = environ["CUDA_VISIBLE_DEVICES"]
    assert {start.visible for start in starts if start.function == "nvmlInit"} == {given}, "the launcher's own"
    assert {start.visible for start in starts if start.function != "nvmlInit"} == {visible}
    assert {row["board"] for row in rows_of(file)} == {visible}


@pytest.mark.whole
def test_ranks_on_boards_that_cuda_cannot_find_are_one_row(tmp_path: Path, experiment_file: Write) -> None:
    file, log = experiment_file(CELLS.replace("num_threads", "gpus = 2\nnum_threads")), tmp_path / "log"
    done = run(file, "--only", "precision=fp32", environ=with_gpus(*["NVIDIA H200"] * 2, log=log))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = rows_of(file)
    assert row["status"] == "failed"
    assert "does not start on this board" in row["because"]
    team = f"{board_id(0)},{board_id(1)}"
    assert team in {start.visible for start in starts_in(log) if start.function == "cuInit"}


def test_who_computes_on_the_board_is_refused_by_name_and_the_one_who_asks_is_not(
    tmp_path: Path, experiment_file: Write
) -> None:
    file = experiment_file(CELLS)
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        environ = with_gpus("NVIDIA H200", pids=f"{os.getpid()},{stranger.pid}")
        refused = run(file, environ=environ)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert f"is in use by sleep (pid {stranger.pid}), and would be measured with it" in refused.stderr
    finally:
        stranger.kill()
        stranger.wait()


def test_a_board_cut_by_mig_and_one_that_is_not_there_are_refused_before_anything_starts(
    experiment_file: Write,
) -> None:
    file = experiment_file(CELLS)
    cut = run(file, environ=with_gpus("!NVIDIA H200"))
    assert (cut.returncode, cut.stderr.count("\n")) == (2, 1)
    assert "is cut into MIG slices" in cut.stderr
    absent = run(file, environ=with_gpus("NVIDIA H200", CUDA_VISIBLE_DEVICES="3"))
    assert (absent.returncode, absent.stderr.count("\n")) == (2, 1)
    assert f"no GPU '3'; there are 0 = {board_id(0)}" in absent.stderr


def test_the_sampler_tells_of_the_board_and_of_who_is_foreign_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real process with the real pynvml, as beside a worker: NVML lists this process and its parent."""
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    pids = f"{os.getpid()},{os.getppid()},{stranger.pid}"
    for name, value in with_gpus("NVIDIA H200", pids=pids).items():
        monkeypatch.setenv(name, value)
    watch = BoardWatch.of(Board(board_id=board_id(0), name="NVIDIA H200"))
    try:
        watch.start()
        deadline = time.monotonic() + 60
        while len(watch.samples) < 10 and time.monotonic() < deadline:
            time.sleep(0.05)
            watch.take_samples()
    finally:
        watch.stop()
        stranger.kill()
        stranger.wait()
    assert watch.sampler.why_no_samples is None
    first, last = watch.samples[0], watch.samples[-1]
    assert (first.power_w, first.sm_clock_mhz, first.memory_clock_mhz) == (500.0, 1980, 3201)
    assert (last.energy_j - first.energy_j) / (last.time_s - first.time_s) == pytest.approx(500, rel=0.02)
    assert (first.process_bytes, first.num_foreign) == (2**30, 1)
    assert first.power_violation_ns is None
