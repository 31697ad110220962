"""What a worker begins with: imported once by the fork server, nothing that only few need, and a silent profiler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing import Pipe

import pytest

from ampbench.bench.worker import entry
from ampbench.path import ROOT

EVERY_OPTIMIZERS = "torch._dynamo"
FEW_CELLS = ("torch.distributed.elastic.agent", "ampbench.bench.worker.passes.prediction")
CODE = """
import sys
from ampbench.bench.worker import entry
print(*(name in sys.modules for name in sys.argv[1:]))
entry.silence_profiler()
import torch
with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]): torch.ones(2) + 1
"""


@pytest.fixture(scope="module")
def fresh() -> subprocess.CompletedProcess[str]:
    """A process that has imported what a worker has, and profiles an addition."""
    command = [sys.executable, "-c", CODE, EVERY_OPTIMIZERS, *FEW_CELLS]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.mark.whole  # a process that has imported nothing yet
def test_what_every_optimizer_imports_is_loaded_once_for_all_cells(fresh: subprocess.CompletedProcess[str]) -> None:
    assert fresh.stdout.split() == ["True", "False", "False"]


@pytest.mark.whole
def test_the_profiler_says_nothing_of_its_own(fresh: subprocess.CompletedProcess[str]) -> None:
    assert fresh.stderr == ""


def test_a_worker_that_nobody_hears_ends_at_once_and_records_nothing() -> None:
    heard, messages = Pipe(duplex=False)
    heard.close()
    if not (pid := os.fork()):
        os.setsid()
        entry._send(messages, phase="start")
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
