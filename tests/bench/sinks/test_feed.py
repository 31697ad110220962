"""A child that is told things: the call never waits, whatever the child does, and nothing of the child is left."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ampbench.bench.sinks.feed import QUEUE_BYTES, Feed
from tests.bench.sinks.processes import nothing_is_left

CHILD = """
import os, pathlib, sys
here = pathlib.Path(__file__).parent
(here / "pid").write_text(str(os.getpid()))
"""
READ = CHILD + "(here / 'heard').write_text(sys.stdin.read())"
NEVER_READ = CHILD + "import time; time.sleep(1000)"
HANG_AT_EXIT = READ + "\nimport atexit, time; atexit.register(time.sleep, 1000)"
DIE = CHILD + "sys.exit(3)"


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Feed]]:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made: list[Feed] = []

    def make(code: str) -> Feed:
        (tmp_path / "told_child.py").write_text(code)
        made.append(Feed("told_child", []))
        return made[-1]

    yield make
    for one in made:
        one.close(until_s=0.0)
    assert nothing_is_left()


def pid_of(tmp_path: Path) -> int:
    deadline_s = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return int((tmp_path / "pid").read_text())


def test_what_is_told_arrives_whole_and_in_order(feed: Callable[[str], Feed], tmp_path: Path) -> None:
    child = feed(READ)
    for i in range(100):
        child.send(event="block", step=i, values={"loss": float("nan")})
    child.close(until_s=time.monotonic() + 60)
    heard = [json.loads(line) for line in (tmp_path / "heard").read_text().splitlines()]
    assert [message["step"] for message in heard] == list(range(100))
    assert child.num_dropped == 0


@pytest.mark.parametrize("how", ["stopped", "never reads"])
def test_a_pipe_that_is_never_read_drops_and_counts_what_does_not_fit(
    how: str, feed: Callable[[str], Feed], tmp_path: Path
) -> None:
    child = feed(READ if how == "stopped" else NEVER_READ)
    if how == "stopped":
        os.kill(pid_of(tmp_path), signal.SIGSTOP)
    size = len(json.dumps({"i": "x" * 1000})) + 1
    num_told = 3 * QUEUE_BYTES // size
    for _ in range(num_told):  # a call that waited would never return
        child.send(i="x" * 1000)
    assert 0 < num_told - child.num_dropped <= QUEUE_BYTES // size + 1


def test_a_message_beyond_what_a_pipe_takes_whole_is_dropped_and_the_next_arrives(
    feed: Callable[[str], Feed], tmp_path: Path
) -> None:
    child = feed(READ)
    child.send(i="x" * 5000)
    child.send(i=1)
    child.close(until_s=time.monotonic() + 60)
    assert (tmp_path / "heard").read_text() == '{"i": 1}\n'
    assert child.num_dropped == 1


def test_a_child_that_has_died_is_told_nothing_and_costs_nothing(feed: Callable[[str], Feed], tmp_path: Path) -> None:
    child = feed(DIE)
    os.waitid(os.P_PID, pid_of(tmp_path), os.WEXITED | os.WNOWAIT)
    for _ in range(10):
        child.send(i=1)
    child.close(until_s=time.monotonic() + 60)
    assert child.num_dropped == 0


def test_a_child_that_cannot_start_is_one_that_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere")
    child = Feed("json.tool", [])
    child.send(i=1)
    child.close(until_s=time.monotonic() + 60)


def test_a_child_that_hangs_at_its_end_is_killed_when_its_time_is_up(
    feed: Callable[[str], Feed], tmp_path: Path
) -> None:
    child = feed(HANG_AT_EXIT)
    pid = pid_of(tmp_path)
    child.end()
    while not (tmp_path / "heard").exists():
        time.sleep(0.02)
    child.close(until_s=time.monotonic())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
