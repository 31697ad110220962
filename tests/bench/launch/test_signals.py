"""Hang-ups, Ctrl-C and readers that have gone: a run is kept and says how to go on, or is not disturbed at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.bench.launch.local.test_fork_server import ONE, Write
from tests.conftest import ROOT
from tests.whole.line import command, rows_of, started, wait_until

pytestmark = pytest.mark.whole


def test_a_hang_up_and_a_terminate_are_answered_as_ctrl_c(experiment_file: Write) -> None:
    text = ONE.replace("LeNet", "tests.support.failing:Slow").replace("256", "1024") + "[measure]\nmax_timing_s = 2\n"
    for number, name in ((signal.SIGHUP, "hang.toml"), (signal.SIGTERM, "term.toml")):
        file = experiment_file(text, name)
        with started(file) as launcher:
            wait_until(lambda file=file: [*file.parent.glob(f"results/{file.stem}/runs/*/record.parquet")])  # type: ignore[misc]
            launcher.send_signal(number)
            output, _ = launcher.communicate(timeout=300)
        assert launcher.returncode == 130, output
        assert "of 3 cells are kept. To go on: python bench/run_matrix.py" in output
        assert "Traceback" not in output
        assert len(rows_of(file)) == len([*file.parent.glob(f"results/{file.stem}/runs/*/record.parquet")]) >= 1


def test_under_nohup_a_hang_up_is_no_interruption(experiment_file: Write) -> None:
    file = experiment_file(ONE.replace("[0, 1, 2]", "[0]") + "[measure]\nmax_timing_s = 1\n")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with started(file) as launcher:
            wait_until(lambda: (file.parent / "results").exists())
            launcher.send_signal(signal.SIGHUP)
            output, _ = launcher.communicate(timeout=300)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert launcher.returncode == 0, output


def test_a_reader_that_has_gone_ends_no_run(experiment_file: Write) -> None:
    """`run_matrix.py FILE | head -1`, or a terminal that was closed."""
    file = experiment_file(ONE.replace("[0, 1, 2]", "[0, 1]") + "[measure]\nmax_timing_s = 1\n")
    process = subprocess.Popen(command(file), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(300) == 0, errors
    assert errors == ""
    assert pq.read_table(file.parent / "results" / "trial" / "cells.parquet").num_rows == 2


@pytest.mark.parametrize(
    "words",
    ["bench/run_matrix.py FILE --plan", "bench/run_matrix.py --help", "-m visualize.compare results/demo "
     "--a precision=fp32 --b precision=bf16_amp"],
)  # fmt: skip
def test_a_full_disk_below_stdout_is_one_line_and_a_reader_that_has_gone_none(
    words: str, experiment_file: Write
) -> None:
    command = [sys.executable, *words.replace("FILE", str(experiment_file(ONE))).split()]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert result.stderr.startswith("stdout: cannot be written (No space left on device)")
    gone = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert gone.stdout is not None
    assert gone.stderr is not None
    gone.stdout.close()
    assert gone.stderr.read() == ""
    assert gone.wait(60) in (1, 141)
