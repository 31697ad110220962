"""Workers that a test starts, each in its own process, and two ranks on this CPU."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ampbench.bench.launch.local.fork_server import start_worker
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.store.run import Run
from tests.support.two_ranks import run_in

Start = Callable[..., "Started"]


whole = partial(pytest.param, marks=pytest.mark.whole)


class Started:
    """A worker, and its messages."""

    def __init__(self, context: Any, run: Run) -> None:
        self.run = run
        run.save()
        self.process, self.messages = start_worker(context, run)
        self.said: list[dict[str, Any]] = []

    def wait_for(self, **wanted: Any) -> None:
        """Receive messages until the given one."""
        while not self.said or any(self.said[-1].get(key) != value for key, value in wanted.items()):
            assert self.messages.poll(300), f"silent since {self.said[-1:]}; {self.log}"
            self.said.append(self.messages.recv())

    def row(self) -> dict[str, Any]:
        self.process.join(300)
        assert self.run.record_path.exists(), self.log
        return pq.read_table(self.run.record_path).to_pylist()[0]  # type: ignore[no-any-return]

    def epochs(self) -> list[dict[str, Any]]:
        return pq.read_table(self.run.folder / "epochs.parquet").to_pylist()  # type: ignore[no-any-return]

    @property
    def log(self) -> str:
        return (self.run.folder / "log.txt").read_text()


@pytest.fixture(scope="module")
def context() -> Any:
    """Fork this process, which imports what a fork server does, once for all tests."""
    importlib.import_module("ampbench.bench.worker.entry")
    return multiprocessing.get_context("fork")


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    """Return a function that makes a run of a cell."""
    return partial(run_in, tmp_path)


@pytest.fixture
def start(context: Any, run_of: Callable[..., Run]) -> Iterator[Start]:
    """Return a function that starts a worker; workers that still run afterwards are killed."""
    started: list[Started] = []

    def begin(cell: Cell, name: str = "x", protocol: MeasurementProtocol | None = None, **budget: Any) -> Started:
        run = run_of(cell, name, **budget)
        started.append(Started(context, replace(run, protocol=protocol or run.protocol)))
        return started[-1]

    yield begin
    for one in started:
        if one.process.is_alive() and one.process.pid:
            os.killpg(one.process.pid, signal.SIGKILL)
