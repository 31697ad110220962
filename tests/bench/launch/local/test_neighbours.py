"""Neighbours are at work for as long as a cell is timed, are heard, and leave neither a process nor a record."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.auto.interference import conditions
from ampbench.bench.auto.interference.conditions import Beside, OfThisMachine, halved, teams_of
from ampbench.bench.launch.local.local import Local
from ampbench.bench.launch.local.neighbours import AT_WORK, NO_END, Neighbours, without_end
from ampbench.bench.launch.local.worker_process import WorkerProcess
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.discovery import Boards
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.run import Run
from tests.bench.launch.test_exclusive import made

BOARDS = tuple(Board(board_id=f"GPU-{i}", name="GPU") for i in range(8))
PATIENCE_S = 30.0
Script = Callable[[Connection], None]


def works(speak: Connection) -> None:
    """Warm up, and report until somebody ends it: more than a pipe holds."""
    os.setsid()
    for phase in ("start", "warm-up", AT_WORK):
        speak.send({"phase": phase})
    for number in range(10**9):
        speak.send({"images_per_s": float(number), "padding": "x" * 4096})
        time.sleep(0.001)


def ends_before(speak: Connection) -> None:
    """End in its warm-up."""
    speak.send({"phase": "warm-up"})
    speak.send({"phase": "done", "because": "out of memory at batch size 64"})


def ends_meanwhile(speak: Connection) -> None:
    """End while a cell is timed beside it."""
    speak.send({"phase": AT_WORK})
    time.sleep(0.2)


class Told:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self, run: Run) -> None:
        self.heard.append(f"{run.board.board_id} starts")

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        self.heard.append(f"{run.board.board_id} {facts['phase']}")

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        self.heard.append(f"{run.board.board_id} ends")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], list[WorkerProcess]]:
    """Let every worker do what a script says; return the list of those that were started."""

    def play(script: Script) -> list[WorkerProcess]:
        all_of_them: list[WorkerProcess] = []

        def start(run: Run, _: Any) -> WorkerProcess:
            run.save()
            context = multiprocessing.get_context("fork")
            ours, theirs = context.Pipe(duplex=False)
            process: Any = context.Process(target=script, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            all_of_them.append(WorkerProcess(run=run, process=process, messages=ours))
            return all_of_them[-1]

        monkeypatch.setattr(WorkerProcess, "start", start)
        return all_of_them

    return play


def wait_until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


def speeds(worker: WorkerProcess) -> float:
    speed: float = worker.facts.get("images_per_s", -1.0)
    return speed


def test_neighbours_are_at_work_and_heard_until_the_cell_has_ended_and_gone_then(
    started: Callable[[Script], list[WorkerProcess]], tmp_path: Path
) -> None:
    workers, told, nobody = started(works), Told(), Any
    with Neighbours([made(tmp_path)] * 2, nobody, told) as neighbours:  # type: ignore[arg-type]
        assert [worker.facts["phase"] for worker in workers] == [AT_WORK] * 2
        wait_until(lambda: all(speeds(worker) > 40 for worker in workers))  # 40 x 4 KiB: a pipe holds 64 KiB
    assert not neighbours.lost
    assert not any(worker.process.is_alive() for worker in workers)
    assert told.heard == ["cpu starts", "cpu neighbour"] * 2
    assert not list(tmp_path.rglob("record.parquet"))


def test_a_neighbour_that_cannot_work_is_one_line_and_no_process_stays(
    started: Callable[[Script], list[WorkerProcess]], tmp_path: Path
) -> None:
    workers, nobody = started(ends_before), Any
    said = r"the neighbour on cpu ended \(out of memory at batch size 64; see .*log\.txt\), before the cell beside it"
    with pytest.raises(RequestError, match=said), Neighbours([made(tmp_path)], nobody, Told()):  # type: ignore[arg-type]
        pytest.fail("nothing is timed")
    assert not any(worker.process.is_alive() for worker in workers)


def test_what_is_timed_beside_a_neighbour_that_ended_leaves_no_record(
    started: Callable[[Script], list[WorkerProcess]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = started(ends_meanwhile)
    run = made(tmp_path / "beside" / "runs")

    def run_alone(self: Local, groups: Any, boards: Boards, **_: Any) -> bool:
        assert [board.board_id for board in boards.used] == ["GPU-0"]
        groups[0][0].save()
        groups[0][0].record_path.write_bytes(b"a record")
        wait_until(lambda: not workers[0].process.is_alive())
        return True

    monkeypatch.setattr(Local, "run", run_alone)
    monkeypatch.setattr(conditions, "start_fork_server", lambda: None)
    with pytest.raises(
        RequestError, match=r"the neighbour on GPU GPU-1 ended .* was timed beside it; the same command"
    ):
        Beside().run([[run]], Boards(used=BOARDS[:2]), watcher=Told(), oom_guard=OomGuard(), board_hours=None)
    assert not run.record_path.exists()
    assert (tmp_path / "beside" / "neighbours" / "1" / "cell.json").exists(), "its log says why"


def test_a_neighbour_takes_the_same_steps_and_has_no_end(tmp_path: Path) -> None:
    run = made(tmp_path)
    endless = without_end(run)
    assert endless.cell.epochs == NO_END
    alike = {"epochs": 0, "schedule": run.cell.schedule}
    assert endless.cell.settings | alike == run.cell.settings
    assert endless.protocol.evaluate_every == NO_END
    assert not endless.protocol.passes


@pytest.mark.parametrize(
    ("num", "gpus", "teams"),
    [
        (2, 1, ["0", "1"]),
        (8, 1, list("01234567")),
        (8, 2, ["01", "23", "45", "67"]),
        (8, 3, ["012", "345"]),
        (8, 5, ["01234"]),
        (2, 4, []),
    ],
)
def test_a_cell_on_several_gpus_has_neighbours_on_as_many(num: int, gpus: int, teams: list[str]) -> None:
    found = teams_of(BOARDS[:num], gpus)
    assert ["".join(board.board_id[-1] for board in team) for team in found] == teams


def test_a_cpu_is_checked_as_two_boards_and_boards_that_there_are_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    cpu = Boards(used=(Board(board_id="cpu"),))
    assert [board.board_id for board in halved(cpu).used] == ["cpu:0/2", "cpu:1/2"]
    one_gpu = Boards(used=BOARDS[:1])
    assert halved(one_gpu) == one_gpu
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert halved(cpu) == cpu
    assert OfThisMachine(gpus="0,1").alone.exclusive  # type: ignore[attr-defined]


def test_ranks_on_a_cpu_share_its_board() -> None:
    halves = tuple(Board(board_id=f"cpu:{i}/2") for i in range(2))
    assert teams_of(halves, 4) == [(halves[0],), (halves[1],)]
