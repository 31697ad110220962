"""Several launchers and boards at once: every cell is run once, and no two workers compute on one CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT
from tests.whole.line import SLOW, records, rows_of, run, started, wait_until

Write = Callable[..., Path]

pytestmark = pytest.mark.whole


def test_two_shards_on_two_boards_run_every_cell_once_and_join_without_a_further_step(experiment_file: Write) -> None:
    file = experiment_file(SLOW.replace("num_threads = 1\n", ""))
    environ = os.environ | {"AMPBENCH_CPU_BOARDS": "2", "PYTHON": sys.executable}
    script = str(ROOT / "experiments" / "run_gpu.sh")
    shells = [
        subprocess.Popen(
            ["bash", script, f"{i}/2", str(file), "--results", str(file.parent / "results")],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    outputs = [shell.communicate(timeout=1800)[0] for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0], outputs
    rows = rows_of(file)
    assert len(rows) == 8
    boards: dict[str, set[str]] = {}
    for row in rows:
        boards.setdefault(row["group_id"], set()).add(row["board"])
        assert row["threads_used"] == max(1, len(os.sched_getaffinity(0)) // 2)
        assert "shared by 2 simulated boards" in row["machine"]
    assert all(len(used) == 1 for used in boards.values()), "a group was split"
    assert set().union(*boards.values()) == {"cpu:0/2", "cpu:1/2"}


def test_a_second_worker_waits_for_the_one_cpu_and_says_for_whom(experiment_file: Write) -> None:
    one, other = experiment_file(SLOW, "one.toml"), experiment_file(SLOW, "other.toml")
    with started(one) as first:
        wait_until(lambda: len(records(one)) >= 1)
        second = run(other, "--only", "batch_size=2048", "--only", "seed=0")
        first.communicate(timeout=1800)
    assert "waiting for cpu, held by tests.support.failing:Slow" in second.stdout, second.stdout
    assert "of one (process" in second.stdout
    assert second.returncode == 0


def test_the_fork_server_has_torch_and_our_worker_one_thread_and_no_cuda() -> None:
    """Preloading swallows an ImportError, and would then cost seconds a cell in silence."""
    from multiprocessing import forkserver

    from ampbench.bench.launch.local.fork_server import start_fork_server

    context = start_fork_server()
    ours, theirs = context.Pipe()
    process = context.Process(target=_look, args=(theirs,))
    process.start()
    seen = ours.recv()
    process.join()
    assert seen == {
        "torch": True,
        "ampbench.bench.worker.entry": True,
        "pandas": True,
        "torch._dynamo": True,
        "cuda": False,
    }
    assert psutil.Process(forkserver._forkserver._forkserver_pid).num_threads() == 1


def _look(connection: Any) -> None:
    import multiprocessing.process

    assert multiprocessing.process.parent_process() is not None
    torch = sys.modules.get("torch")
    connection.send(
        {
            "torch": torch is not None,
            "ampbench.bench.worker.entry": "ampbench.bench.worker.entry" in sys.modules,
            "pandas": "pandas" in sys.modules,
            "torch._dynamo": "torch._dynamo" in sys.modules,
            "cuda": bool(torch and torch.cuda.is_initialized()),
        }
    )
