"""What a launcher makes of a worker that has ended: only a cell without a record is given one."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from ampbench.bench.launch.local import dispatch
from ampbench.bench.launch.local.dispatch import _finish, _wait, run_groups
from ampbench.bench.launch.local.worker_process import WorkerProcess
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import Budget, MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.store.record import write_run
from ampbench.bench.store.run import Run
from tests.support.measuring import record_of, traces_of


class Heard:
    """A watcher that keeps the endings."""

    def __init__(self) -> None:
        self.endings: list[str] = []

    def started(self, run: Run) -> None: ...

    def told(self, run: Run, facts: Any) -> None: ...

    def ended(self, run: Run, facts: Any) -> None:
        self.endings.append(facts["status"])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    cell = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=64)
    run = Run(
        folder=tmp_path / "x" / "runs" / cell.run_folder,
        cell=cell,
        protocol=MeasurementProtocol(),
        budget=Budget(),
        board=Board(board_id="cpu"),
        order=1,
        command="python bench/run_matrix.py x.toml",
    )
    run.save()
    return run


def record(run: Run) -> dict[str, Any]:
    row: dict[str, Any] = pq.read_table(run.record_path).to_pylist()[0]
    return row


def ended(run: Run, recorded_before_ns: int | None, exit_code: int = 0) -> WorkerProcess:
    process: Any = SimpleNamespace(exitcode=exit_code)
    messages: Any = SimpleNamespace(closed=True)
    return WorkerProcess(run=run, process=process, messages=messages, recorded_before_ns=recorded_before_ns)


def finish(run: Run) -> None:
    steps = [{"step": 1, "epoch": 1, "loss": 2.5}]
    write_run(run.folder, run.cell, record_of({"status": "ok", "images_per_s": 7.0}), traces_of({"steps": steps}))


def test_a_record_that_another_launcher_wrote_is_kept(run: Run) -> None:
    finish(run)
    heard = Heard()
    _finish(ended(run, run.recorded_ns), heard, OomGuard())
    assert record(run)["status"] == "ok"
    assert heard.endings == ["done"]


def test_a_worker_that_left_no_record_is_a_crashed_row(run: Run) -> None:
    _finish(ended(run, None, -11), Heard(), OomGuard())
    assert record(run)["status"] == "crashed"
    assert record(run)["because"] == "killed by SIGSEGV in phase start; see log.txt"


def test_a_rerun_that_crashes_replaces_the_row_and_its_traces(run: Run) -> None:
    finish(run)
    _finish(ended(replace(run, again=True), run.recorded_ns, 1), Heard(), OomGuard())
    assert record(run)["status"] == "crashed"
    assert not (run.folder / "steps.parquet").exists()


def test_a_rerun_or_a_first_run_that_wrote_its_record_is_done(run: Run) -> None:
    finish(run)
    for before in (None, run.recorded_ns):
        os.utime(run.record_path, ns=(0, (before or 0) + 10**9))
        _finish(ended(replace(run, again=True), before), Heard(), OomGuard())
        assert record(run)["status"] == "ok"


def test_an_implied_out_of_memory_is_a_row_of_its_own_batch_size(run: Run) -> None:
    small = replace(run.cell, batch_size=32).settings | {"status": "oom", "because": "out of memory at batch size 32"}
    heard, nothing = Heard(), Any
    run_groups([[run]], [run.board], context=nothing, watcher=heard, oom_guard=OomGuard([small]))  # type: ignore[arg-type]
    assert record(run)["because"].startswith("not tried: batch size 32")
    assert heard.endings == ["oom"]


def test_the_launcher_sleeps_until_a_worker_speaks_ends_or_is_out_of_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parent that polls takes a core from what it measures: it asks the kernel once, and for no less time."""
    asked: list[float | None] = []

    def sleep(watched: Any, timeout_s: float | None) -> list[Any]:
        asked.append(timeout_s)
        return [7]

    monkeypatch.setattr(dispatch, "wait", sleep)
    process: Any = SimpleNamespace(sentinel=7, join=lambda: None)
    active = WorkerProcess(run=run, process=process, messages=SimpleNamespace(closed=True))  # type: ignore[arg-type]
    assert _wait({(run.board,): active}, Heard()) == [(run.board,)]
    active.deadline_s = time.monotonic() + 600
    assert _wait({(run.board,): active}, Heard()) == [(run.board,)]
    assert asked[0] is None
    assert asked[1] == pytest.approx(600, abs=60)
    assert len(asked) == 2
