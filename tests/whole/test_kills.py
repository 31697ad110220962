"""What a kill loses: at most the cell in flight, and of a long training the epochs since its last checkpoint."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.whole.line import HEAD, SLOW, records, rows_of, run, started, survivors, wait_until

Write = Callable[..., Path]

pytestmark = pytest.mark.whole

NUM_KILLS = int(os.environ.get("AMPBENCH_TEST_KILLS", "3"))


def test_a_kill_at_any_moment_loses_at_most_the_cell_in_flight(experiment_file: Write) -> None:
    """kill -9 of the launcher, a worker or the fork server, then the same command, until it is done."""
    file = experiment_file(SLOW.replace("seed = [0, 1]", f"seed = {[*range(2 * NUM_KILLS)]}"))  # never done in between
    rng = random.Random(0)
    kept: dict[Path, int] = {}
    begun = time.monotonic()
    for attempt in range(NUM_KILLS):
        with started(file) as launcher:
            if attempt == 0:
                wait_until(lambda: records(file))
                first_s = time.monotonic() - begun
            else:
                time.sleep(rng.uniform(0, 1.3 * first_s))  # while torch loads, in a cell, between two, while joining
            workers = [p.pid for p in survivors(file) if p.pid != launcher.pid]
            servers = fork_servers_of(launcher.pid)
            victims = ([launcher.pid], servers, workers)[attempt % 3] or [launcher.pid]
            os.kill(rng.choice(victims), signal.SIGKILL)
            if victims is servers:  # cells go on, in it and after it
                before = len(records(file))
                wait_until(lambda before=before: len(records(file)) > before)  # type: ignore[misc]
            launcher.send_signal(signal.SIGKILL)
        wait_until(lambda: not survivors(file), 120)
        now = records(file)
        assert kept.items() <= now.items(), "a finished cell was run again"
        for path in now:
            assert pq.read_table(path).num_rows == 1
        kept = now
    num_seeds = min(len(kept) // 4 + 1, 2 * NUM_KILLS)
    result = run(file, "--only", f"seed={','.join(map(str, range(num_seeds)))}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert kept.items() <= records(file).items()
    ids = [row["cell_id"] for row in rows_of(file)]
    assert len(ids) == len(set(ids)) == 4 * num_seeds
    assert {row["status"] for row in rows_of(file)} <= {"ok", "crashed"}
    crashed = [row["because"] for row in rows_of(file) if row["status"] == "crashed"]
    assert all("killed by SIGKILL" in because for because in crashed), crashed
    assert len(crashed) <= NUM_KILLS / 3


def fork_servers_of(launcher: int) -> list[int]:
    with suppress(psutil.Error):
        return [p.pid for p in psutil.Process(launcher).children() if any("forkserver" in w for w in p.cmdline())]
    return []


def test_two_launchers_on_one_folder_killed_at_random_leave_every_cell_once(experiment_file: Write) -> None:
    file = experiment_file(SLOW.replace("tests.support.failing:Slow", "tests.support.tiny:Wide"))
    rng = random.Random(0)
    for _ in range(NUM_KILLS):
        with started(file) as one, started(file) as other:
            for launcher in (one, other):
                time.sleep(rng.uniform(1, 12))
                launcher.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
    result = run(file)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {row["cell_id"]: row for row in rows_of(file)}
    assert len(rows) == len(rows_of(file)) == 8
    assert {row["status"] for row in rows.values()} == {"ok"}
    path = file.parent / "results" / file.stem / "steps.parquet"
    steps = pq.read_table(path, columns=["cell_id", "step"]).to_pylist()
    assert Counter(step["cell_id"] for step in steps) == {cell: row["num_steps"] for cell, row in rows.items()}
    assert len({(step["cell_id"], step["step"]) for step in steps}) == len(steps), "a step twice"


def test_a_training_killed_over_and_over_ends_as_the_one_that_was_left_alone(experiment_file: Write) -> None:
    """kill -9 of the launcher in the middle of a cell, which goes on from its last epoch, bit for bit."""
    text = HEAD.replace('"synthetic"', '"digits"') + (
        'model = "LeNet"\nbatch_size = 64\nepochs = 24\nprecision = "bf16_amp_scaled"\n'
        "[budget]\ncheckpoint_minutes = 0\n"
    )
    calm, killed = experiment_file(text, "calm.toml"), experiment_file(text, "killed.toml")
    assert run(calm).returncode == 0

    def checkpoint() -> tuple[Path, int] | None:
        found = [*killed.parent.rglob("killed/runs/*/checkpoint.pt")]
        with suppress(FileNotFoundError, IndexError):  # the next one is about to take its place
            return found[0], found[0].stat().st_mtime_ns
        return None

    for _ in range(3):
        before = checkpoint()
        with started(killed) as launcher:
            wait_until(lambda before=before: checkpoint() not in (None, before))  # type: ignore[misc]
            launcher.send_signal(signal.SIGKILL)
        wait_until(lambda: not survivors(killed), 120)
        assert not list(killed.parent.rglob("killed/runs/*/record.parquet")), "it ended before it could be killed"
    assert run(killed).returncode == 0
    (row,), (expected,) = rows_of(killed), rows_of(calm)
    assert 1 <= row["num_resumes"] <= 3, "a kill between two checkpoints costs one of them"
    assert row["test_accuracy"] == expected["test_accuracy"]
    losses = [
        pq.read_table(file.parent / "results" / file.stem / "steps.parquet", columns=["step", "loss"]).to_pylist()
        for file in (killed, calm)
    ]
    assert losses[0] == losses[1]
    assert not list(killed.parent.rglob("checkpoint*.pt"))


def test_ctrl_c_keeps_what_is_finished_says_how_to_go_on_and_exits_with_130(experiment_file: Write) -> None:
    file = experiment_file(SLOW)
    with started(file) as launcher:
        wait_until(lambda: len(records(file)) >= 1)
        launcher.send_signal(signal.SIGINT)
        output, _ = launcher.communicate(timeout=300)
    assert launcher.returncode == 130, output
    assert "of 8 cells are kept. To go on: python bench/run_matrix.py" in output
    assert "Traceback" not in output
    kept = records(file)
    assert 1 <= len(kept) < 8
    assert len(rows_of(file)) == len(kept)
    wait_until(lambda: not survivors(file), 120)
