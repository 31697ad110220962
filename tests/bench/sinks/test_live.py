"""Sinks while a matrix is at work: it ends as it does without them, whatever their children do."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.launch.options import Options
from ampbench.bench.launch.sweep import sweep
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.matrix import make_plan
from ampbench.bench.sinks import live as live_module
from ampbench.bench.sinks.live import Live
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.store.run import Run
from tests.bench.sinks.processes import nothing_is_left
from tests.bench.sinks.second import MISBEHAVES, SECOND
from tests.support.distant import Distant
from tests.support.virtual_boards import groups_of_sizes

SIX_CELLS = """
question = "Q?"
[matrix]
seed = [0, 1, 2]
precision = ["fp32", "bf16_amp"]
[fixed]
model = "LeNet"
data = "synthetic"
batch_size = 64
"""

ENDINGS: Mapping[int, Any] = dict.fromkeys(range(3), ("ok", None))
BLOCK = {"epoch": 1, "loss": 2.5, "images_per_s": 1000.0, "memory_bytes": 2**20, "learning_rate": 0.01}


@dataclass(frozen=True, kw_only=True)
class Talking(Distant):
    """Each cell reports blocks and epochs before its record; the times of the watcher's calls are kept."""

    num_reports: int = 20
    took_s: list[float]
    wait_for: Callable[[], object] | None = None

    def run(
        self,
        groups: Sequence[Sequence[Run]],
        boards: Boards,
        *,
        watcher: Watcher,
        oom_guard: OomGuard,
        board_hours: float | None,
    ) -> bool:
        if self.wait_for:
            self.wait_for()
        heard = Timed(watcher, self.num_reports, self.took_s)
        return super().run(groups, boards, watcher=heard, oom_guard=oom_guard, board_hours=board_hours)


@dataclass
class Timed:
    """Tells another watcher, after each start also of blocks and epochs; keeps how long each call took."""

    watcher: Watcher
    num_reports: int
    took_s: list[float]

    def started(self, run: Run) -> None:
        self._call(self.watcher.started, run)
        for i in range(self.num_reports):
            self._call(self.watcher.told, run, BLOCK | {"step": i + 1, "phase": "training"})
            row = {"epoch": i + 1, "train_loss": 2.0, "test_accuracy": None}
            self._call(self.watcher.told, run, {"epoch_row": row})

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        self._call(self.watcher.told, run, facts)

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        self._call(self.watcher.ended, run, facts)

    def _call(self, work: Callable[..., None], *arguments: object) -> None:
        begun_s = time.monotonic()
        work(*arguments)
        self.took_s.append(time.monotonic() - begun_s)


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setattr("ampbench.bench.launch.sweep.print_report", lambda *_, **__: None)
    monkeypatch.setitem(SINKS, "second", SECOND)
    monkeypatch.setattr(live_module, "CLOSE_S", 120.0)  # it yields to all others on this machine
    monkeypatch.setattr(live_module, "EVERY_S", 0.0)

    def run(where: str, *sinks: str, **talking: Any) -> str:
        plan = make_plan(parse_experiment(tmp_path / "six.toml", SIX_CELLS))
        out, launcher = io.StringIO(), Talking(endings=ENDINGS, **({"took_s": []} | talking))
        options = Options(launcher=launcher, results=tmp_path / where, sinks=sinks, project="ours")
        assert sweep(plan, plan.cells, options, Console(file=out, width=200)) == 0
        assert nothing_is_left()
        return out.getvalue()

    return run


def records(folder: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(folder / "six" / "cells.parquet").to_pylist()
    return [{name: value for name, value in row.items() if name != "command"} for row in rows]


def lives(folder: Path) -> Callable[[], None]:
    """Return a function that waits until the child has started."""

    def wait() -> None:
        deadline_s = time.monotonic() + 60
        while not (folder / "six" / "second.live").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        time.sleep(0.1)

    return wait


@pytest.mark.whole
def test_points_arrive_while_runs_are_at_work_and_each_run_is_written_once(
    swept: Callable[..., str], tmp_path: Path
) -> None:
    said = swept("with", "second")
    written = sorted((tmp_path / "with" / "six" / "second").iterdir())
    assert len(written) == 6
    for path in written:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line[:2] for line in lines if line[0] == "live"] == [["live", i + 1] for i in range(20)]
        assert lines[0][2] == {k: BLOCK[k] for k in ("loss", "images_per_s", "memory_bytes", "learning_rate")}
        assert [line[1] for line in lines if line[0] == "epoch"] == list(range(1, 21))
        assert lines[-1][:2] == ["end", "ok"]
    assert "Second: 6 of 6 runs logged in " in said
    assert said.rstrip().endswith("second of ours")
    assert "every finished run is logged already" in swept("with", "second")


@pytest.mark.whole
@pytest.mark.parametrize("how", ["start:raise", "start:stop", "start:die", "log:raise", "log:hang", "end:stop"])
def test_a_child_that_misbehaves_changes_no_record_and_delays_no_call(
    how: str, swept: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept("without")
    if how.endswith(("stop", "hang")):
        monkeypatch.setattr(live_module, "CLOSE_S", 1.0)
    monkeypatch.setenv(MISBEHAVES, how)
    took_s: list[float] = []
    said = swept("with", "second", took_s=took_s, num_reports=50, wait_for=lives(tmp_path / "with"))
    assert records(tmp_path / "with") == records(tmp_path / "without")
    assert len(took_s) == 6 * (2 * 50 + 2)
    assert sorted(took_s)[len(took_s) // 2] < 1e-3, "half of the calls, on a machine that others use"
    assert "Second: 6 of 6 runs logged in " in said, "by the child after the matrix"


@pytest.mark.whole
def test_a_flood_beyond_the_pipe_is_dropped_and_said(
    swept: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "CLOSE_S", 1.0)
    monkeypatch.setenv(MISBEHAVES, "start:stop")
    said = swept("with", "second", num_reports=1500, wait_for=lives(tmp_path / "with"))
    assert "its child did not keep up, " in said
    assert "Second: 6 of 6 runs logged in " in said


def test_a_missing_package_is_said_before_the_first_run_and_starts_nothing(
    swept: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    monkeypatch.setitem(SINKS, "second", dataclasses.replace(SECOND, package="no_such_tracker"))
    said = swept("with", "second")
    assert said.startswith("Second: not installed here: no_such_tracker; ") or "\nSecond: not installed here" in said
    assert "the same command logs them later" in said
    assert not (tmp_path / "with" / "six" / "second.live").exists()


def test_between_two_points_of_a_run_there_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(Live, "_send", lambda self, run, **message: sent.append(message))
    clock = iter([0.0, 0.5, 1.9, 2.0, 3.0, 4.5])
    monkeypatch.setattr(live_module.time, "monotonic", lambda: next(clock))
    live = Live(folder=tmp_path, names=[])
    run = type("R", (), {"folder": tmp_path})()
    for step in range(6):
        live.told(run, BLOCK | {"step": step})
    assert [message["step"] for message in sent] == [0, 3, 5]


def test_the_child_yields_to_measurements_and_ends_with_its_launcher(tmp_path: Path, experiment: Path) -> None:
    from ampbench.bench.sinks.feed import Feed

    feed = Feed(SECOND.module, [str(experiment), "", "--live"])
    deadline_s = time.monotonic() + 60
    while not (experiment / "second.live").exists() or not (experiment / "second.live").read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    pid = int((experiment / "second.live").read_text())
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    feed.end()  # as when the launcher was killed
    feed.close(until_s=time.monotonic() + 60)
    assert nothing_is_left()


def test_of_a_thousand_boards_few_have_children_and_two_machines_never_share_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[dict[str, Any]]] = []

    class Told:
        num_dropped = 0

        def __init__(self, *_: object) -> None:
            self.messages: list[dict[str, Any]] = []
            started.append(self.messages)

        def send(self, **message: Any) -> None:
            self.messages.append(message)

    monkeypatch.setattr(live_module, "Feed", Told)
    monkeypatch.setitem(SINKS, "second", SECOND)
    live = Live(folder=tmp_path, names=["second"])
    [[one]] = groups_of_sizes([1])
    runs = [replace(one, board=Board(board_id="cpu", host=f"node{i}")) for i in range(1000)]
    for run in runs:
        live.started(run)
        live.told(run, BLOCK | {"step": 1})
        live.ended(run, {"status": "ok"})
    assert len(started) == live_module.MOST_BOARDS
    assert [[message["event"] for message in told] for told in started] == [["started", "block", "ended"]] * 16
    assert not live.told_s
    assert list(live.complaints()) == [
        "16 of 1000 boards were followed live; finished runs of the others are logged whole"
    ]
