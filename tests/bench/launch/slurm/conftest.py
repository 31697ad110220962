"""One Slurm for each module of tests; they skip, and say why, where it cannot be started."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.launch.groups import groups_of
from ampbench.bench.launch.launcher import Launcher
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.slurm.resources import Resources
from ampbench.bench.launch.slurm.slurm import Slurm
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import Plan, make_plan
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.run import Run
from tests.support.quick_task import QuickTask
from tests.support.slurm_cluster import Cluster, slurm_cluster, why_missing

QUICK = """
question = "Q?"
[matrix]
seed = [0, 1]
precision = ["fp32", "bf16_amp"]
[fixed]
model = "LeNet"
data = "digits"
batch_size = 64
epochs = 1
num_threads = 1
augment = []
"""
"""Two groups of two cells."""

Wait = Callable[[Callable[[], object]], None]


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    """Start one."""
    because = why_missing()
    if because:
        pytest.skip(because)
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Return it, found by every command of this process; no job is left afterwards."""
    for name, value in started.environ.items():
        monkeypatch.setenv(name, value)
    yield started
    started("scancel", "--user=root")
    wait_until(lambda: not {"PENDING", "RUNNING", "COMPLETING"} & set(started.jobs().values()))


def wait_until(condition: Callable[[], object], seconds: float = 180) -> None:
    """Wait for what happens in other processes."""
    until_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.05)


def quick(*, resources: Resources | None = None, **task: Any) -> Slurm:
    """Return a launcher whose jobs train nothing, and which looks more often than a person's."""
    return Slurm(resources=resources or Resources(), task=partial(QuickTask, **task), poll_s=(0.1, 0.3))


class Swept:
    """An experiment, run once or several times on one folder of results."""

    def __init__(self, tmp_path: Path, text: str = QUICK) -> None:
        self.results, self.text = tmp_path / "results", text
        self.folder = self.results / "trial"
        self.out = io.StringIO()

    def __call__(self, launcher: Launcher, **options: Any) -> int:
        """Sweep; what was printed is added to `said`."""
        plan = self.plan
        options = {"report": False, "log_every_s": 0.0, **options}
        chosen = Options(launcher=launcher, results=self.results, **options)
        return sweep(plan, plan.cells, chosen, Console(file=self.out, width=200))

    @property
    def plan(self) -> Plan:
        """All cells."""
        return make_plan(parse_experiment(self.results.parent / "trial.toml", self.text))

    @property
    def groups(self) -> list[list[Run]]:
        """The runs of all cells, by group."""
        plan = self.plan
        return groups_of(
            plan, plan.cells, Folder.of(plan, self.results), Board(board_id="cpu"), command="", again=False
        )

    @property
    def said(self) -> str:
        """What was printed so far."""
        return self.out.getvalue()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The joined rows."""
        found: list[dict[str, Any]] = pq.read_table(self.folder / "cells.parquet").to_pylist()
        return found

    @property
    def starts(self) -> list[str]:
        """The cells that jobs have started, in order; of jobs that train nothing."""
        path = self.folder / "starts.txt"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def slow_starts(self) -> list[str]:
        """Those of them that a test can interrupt: cells of seed 0 take a while."""
        return [start for start in self.starts if start.endswith("s0")]


@pytest.fixture
def swept(tmp_path: Path) -> Swept:
    """Return an experiment with its results."""
    return Swept(tmp_path)
