"""A child process that may hang: its time is bounded, what it started goes with it, and its last words are heard."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ampbench.bench.sinks.child import last_words
from ampbench.bench.sinks.sink import SINKS
from ampbench.path import ROOT
from tests.bench.sinks.processes import is_asleep, nothing_is_left, time_is_up_when
from tests.bench.sinks.sample import PATIENCE_S, RUNS
from tests.bench.sinks.second import SECOND
from tests.bench.sinks.stand_in import HANG

pytestmark = pytest.mark.whole

WANDB = SINKS["wandb"]


def test_a_hanging_wandb_does_not_outlast_the_time_limit(experiment: Path, stand_in: Callable[..., None]) -> None:
    stand_in(init=HANG)
    start_s = time.monotonic()
    line = WANDB.publish(experiment, RUNS, timeout_s=1)
    assert time.monotonic() - start_s < 1 + 2
    assert nothing_is_left()
    assert "nothing logged: it took over 1 s. Next, to see why: cd " in line


def test_what_a_hanging_upload_started_is_killed_with_it(
    experiment: Path, stand_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(sync=HANG)
    running = time_is_up_when(is_asleep, monkeypatch)
    line = WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    assert len(running) == 3, "the child, its `wandb sync`, and what that started"
    assert nothing_is_left()
    assert "2 of 2 runs logged" in line


def test_ctrl_c_kills_what_was_started(experiment: Path, stand_in: Callable[..., None]) -> None:
    stand_in(sync=HANG)
    publish = f"SINKS['wandb'].publish(Path({str(experiment)!r}), {RUNS}, timeout_s=1000)"
    call = f"from ampbench.bench.sinks.sink import *; {publish}"
    parent = subprocess.Popen([sys.executable, "-c", call], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not is_asleep() and parent.poll() is None:
        time.sleep(0.1)
    parent.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in parent.communicate(timeout=PATIENCE_S)[1]
    assert nothing_is_left()


@pytest.mark.parametrize(("python", "because"), [("/bin/false", "status 1"), ("/nowhere", "FileNotFoundError")])
def test_a_child_that_cannot_start_is_a_line_too(
    python: str, because: str, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    line = WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    assert line.startswith("W&B: nothing logged: ")
    assert because in line


def test_the_last_line_for_the_user_is_the_answer_however_the_child_ends(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(experiment.parent)
    said = SECOND.publish(experiment, RUNS, project="ours", timeout_s=PATIENCE_S)
    assert said == "Second: 2 of 2 runs logged in quick/second of ours"


def test_a_child_without_a_word_is_told_how_to_be_started_by_hand() -> None:
    words = last_words("json.tool", ["/nowhere", "/out", "/third", "a fourth"], mark="Tool: ", timeout_s=PATIENCE_S)
    assert words.startswith("nothing logged: the child ended with status ")
    assert words.endswith("python -m json.tool /nowhere /out /third")
