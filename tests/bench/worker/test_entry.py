"""What a worker begins with: imported once by the fork server, nothing that only few need, and a silent profiler."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ampbench.path import ROOT

pytestmark = pytest.mark.whole  # a process that has imported nothing yet

EVERY_OPTIMIZERS, FEW_CELLS = (
    "torch._dynamo",
    ("torch.distributed.elastic.agent", "ampbench.bench.worker.passes.prediction"),
)
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


def test_what_every_optimizer_imports_is_loaded_once_for_all_cells(fresh: subprocess.CompletedProcess[str]) -> None:
    assert fresh.stdout.split() == ["True", "False", "False"]


def test_the_profiler_says_nothing_of_its_own(fresh: subprocess.CompletedProcess[str]) -> None:
    assert fresh.stderr == ""
