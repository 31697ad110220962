"""How ranks end: at a deadline, with their parent process, or in a row that names the rank."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from ampbench.bench.launch.local.dispatch import run_groups
from ampbench.bench.launch.oom_guard import OomGuard
from ampbench.bench.store.run import Run
from tests.bench.worker.conftest import Start, whole
from tests.support.two_ranks import TWO


@pytest.mark.whole
def test_a_killed_training_of_two_ranks_goes_on_bit_for_bit(start: Start) -> None:
    """With dropout and augmentation, which each rank draws by itself, and BatchNorm, whose statistics rank 0 keeps."""
    cell = replace(TWO, model="tests.support.tiny:Net", image_size=8, augment=("crop", "flip"), epochs=3)
    whole = start(cell, "whole", checkpoint_minutes=0)
    assert whole.row()["status"] == "ok", whole.log
    broken = start(cell, "broken", checkpoint_minutes=0)
    broken.wait_for(phase="training", epoch=1)
    while not (broken.run.folder / "checkpoint.pt").exists():
        time.sleep(0.01)
    assert broken.process.pid
    os.killpg(broken.process.pid, signal.SIGKILL)
    broken.process.join()
    resumed = start(cell, "broken", checkpoint_minutes=0)
    assert resumed.row()["num_resumes"] >= 1, resumed.log
    for key in ("train_loss", "test_loss", "test_accuracy"):
        assert [e[key] for e in resumed.epochs()] == [e[key] for e in whole.epochs()], key


@pytest.mark.parametrize(
    ("model", "status", "because"),
    [
        ("OnRank1", "crashed", "rank 1 was killed by SIGKILL"),
        whole("RaisesOnRank1", "failed", 'rank 1: KeyError: "a bug of one\'s own"'),
        whole("HungryOnRank1", "oom", "out of memory at batch size 32 on rank 1: RuntimeError: "),
    ],
)
def test_a_rank_that_ends_badly_ends_the_cell_and_is_named(start: Start, model: str, status: str, because: str) -> None:
    started = start(replace(TWO, model=f"tests.support.failing:{model}"))
    row = started.row()
    assert (row["status"], row["because"][: len(because)]) == (status, because), started.log


@pytest.mark.whole
def test_a_rank_that_hangs_ends_at_the_deadline_of_the_cell(context: Any, run_of: Any) -> None:
    run = run_of(replace(TWO, model="tests.support.failing:HangsOnRank1"), minutes_per_cell=0.5)
    endings: list[Any] = []

    class Heard:
        def started(self, run: Run) -> None: ...
        def told(self, run: Run, facts: Any) -> None: ...
        def ended(self, run: Run, facts: Any) -> None:
            endings.append((facts["status"], facts["because"]))

    run_groups([[run]], [run.board], context=context, watcher=Heard(), oom_guard=OomGuard([]))
    assert endings[0][0] == "timeout"
    assert _of_folder(run.folder) == []


@pytest.mark.whole
def test_ranks_die_with_whoever_started_them(start: Start) -> None:
    started = start(replace(TWO, model="tests.support.failing:Slow", epochs=1000))
    started.wait_for(phase="training")
    ranks = psutil.Process(started.process.pid).children()
    assert len(ranks) == 2
    assert started.process.pid
    os.kill(started.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(ranks, timeout=60)
    assert alive == []


def test_what_cannot_be_synchronised_here_is_a_row(start: Start) -> None:
    row = start(replace(TWO, sync_batchnorm=True)).row()
    assert row["status"] == "unsupported"
    assert "synchronises BatchNorm on GPUs only" in row["because"]


def _of_folder(folder: Path) -> list[psutil.Process]:
    """Processes that still hold a file of a run open."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in file.path for file in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue
    return found
