"""The whole line as a process: how a test starts it, waits for it, and reads what it left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from tests.conftest import ROOT

HEAD = """
question = "How does it end?"
[fixed]
data = "synthetic"
num_threads = 1
augment = []
"""

SLOW = (
    HEAD
    + """
model = "tests.support.failing:Slow"
epochs = 1
[matrix]
seed = [0, 1]
batch_size = [1024, 2048]
precision = ["fp32", "bf16_amp"]
"""
)


def command(file: Path, *arguments: str) -> list[str]:
    return [sys.executable, "bench/run_matrix.py", str(file), "--results", str(file.parent / "results"), *arguments]


def run(file: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, *arguments), cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=1800
    )


def rows_of(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file.parent / "results" / file.stem / "cells.parquet").to_pylist()
    return rows


def survivors(file: Path) -> list[psutil.Process]:
    """Processes that still have to do with an experiment: by their command, or by an open file in its results."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            paths = [f.path for f in process.open_files()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and (str(file) in words or any(str(file.parent) in path for path in paths)):
            found.append(process)
    return found


def wait_until(condition: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextmanager
def started(file: Path, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(file, *arguments),
        cwd=ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def records(file: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (file.parent / "results").rglob("record.parquet")}
