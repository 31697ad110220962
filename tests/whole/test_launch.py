"""The whole line, for real: launcher, fork server, workers, records. Endings of every kind, kills and resumption.

Starting a fork server loads torch, so these tests are few and each looks at much.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT

Write = Callable[..., Path]

pytestmark = pytest.mark.whole

HEAD = """
question = "How does it end?"
[fixed]
data = "synthetic"
num_threads = 1
augment = []
"""


def command(file: Path, *arguments: str) -> list[str]:
    return [sys.executable, "bench/run_matrix.py", str(file), "--results", str(file.parent / "results"), *arguments]


def run(file: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, *arguments), cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=1800
    )


def rows_of(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file.parent / "results" / file.stem / "cells.parquet").to_pylist()
    return rows


def survivors(file: Path) -> list[psutil.Process]:
    """Processes that still have to do with an experiment: by their command, or by an open file in its results."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            paths = [f.path for f in process.open_files()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and (str(file) in words or any(str(file.parent) in path for path in paths)):
            found.append(process)
    return found


def wait_until(condition: Callable[[], object], seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@contextmanager
def started(file: Path, *arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(file, *arguments),
        cwd=ROOT,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_every_ending_is_a_row_with_its_reason_and_the_matrix_goes_on(experiment_file: Write) -> None:
    file = experiment_file(
        HEAD
        + """
epochs = 1
precision = "fp32"
[matrix]
batch_size = [32, 64]
case = [
    {model = "tests.support.failing:Hungry", learning_rate = 0.01},
    {model = "tests.support.failing:Tiny",   learning_rate = 1e20},
    {model = "tests.support.failing:Hangs",  learning_rate = 0.01},
    {model = "tests.support.failing:Killed", learning_rate = 0.01},
    {model = "tests.support.failing:Raises", learning_rate = 0.01},
    {model = "tests.support.failing:Tiny",   learning_rate = 0.01},
]
[[include]]
batch_size = 32
model = "tests.support.failing:Tiny"
learning_rate = 0.01
precision = "tf32"
[[exclude]]
model = ["tests.support.failing:Hangs", "tests.support.failing:Killed", "tests.support.failing:Raises"]
batch_size = 64
because = "once is enough"
[budget]
minutes_per_cell = 3
memory_gib_per_cell = 6
"""
    )
    result = run(file)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {
        (
            row["model"].removeprefix("tests.support.failing:"),
            row["batch_size"],
            row["learning_rate"],
            row["precision"],
        ): row
        for row in rows_of(file)
    }
    expected = {
        ("Hungry", 32, 0.01, "fp32"): ("oom", "out of memory at batch size 32: .*DefaultCPUAllocator"),
        ("Hungry", 64, 0.01, "fp32"): ("oom", "not tried: batch size 32 ran out of memory"),
        ("Tiny", 32, 1e20, "fp32"): ("diverged", "the loss is (nan|inf) at step [0-9]+"),
        ("Tiny", 64, 1e20, "fp32"): ("diverged", "the loss is (nan|inf) at step [0-9]+"),
        ("Hangs", 32, 0.01, "fp32"): ("timeout", "took longer than minutes_per_cell = 3"),
        ("Killed", 32, 0.01, "fp32"): ("crashed", "killed by SIGSEGV in phase warm-up; see log.txt"),
        ("Raises", 32, 0.01, "fp32"): ("failed", "KeyError: .*a bug of one's own"),
        ("Tiny", 32, 0.01, "tf32"): ("unsupported", "TF32 is a mode of NVIDIA GPUs"),
        ("Tiny", 32, 0.01, "fp32"): ("ok", "None"),
        ("Tiny", 64, 0.01, "fp32"): ("ok", "None"),
        ("Hangs", 64, 0.01, "fp32"): ("excluded", "once is enough"),
        ("Killed", 64, 0.01, "fp32"): ("excluded", "once is enough"),
        ("Raises", 64, 0.01, "fp32"): ("excluded", "once is enough"),
    }
    assert {key: row["status"] for key, row in rows.items()} == {key: status for key, (status, _) in expected.items()}
    for key, (_, because) in expected.items():
        assert re.search(because, str(rows[key]["because"])), (key, rows[key]["because"])
    diverged = rows["Tiny", 32, 1e20, "fp32"]
    assert diverged["test_accuracy"] == pytest.approx(0.1)
    fine = rows["Tiny", 32, 0.01, "fp32"]
    assert fine["images_per_s"] > 0
    assert fine["memory_instrument"] == "rss"
    assert fine["dtype_check"].count("float32") >= 1
    assert fine["threads_used"] == 1
    summary = (file.parent / "results" / "trial" / "summary.txt").read_text()
    for word in ("oom", "diverged", "timeout", "crashed", "failed", "unsupported", "excluded"):
        assert word in summary, summary
    assert "report.html" in result.stdout
    # Widening an axis runs the new cells only, and a finished matrix nothing.
    before = {path: path.stat().st_mtime_ns for path in file.parent.rglob("record.parquet")}
    assert not re.search(r"^ +1/\d", run(file).stdout, re.MULTILINE)
    file.write_text(file.read_text().replace("batch_size = [32, 64]", "batch_size = [32, 64, 128]", 1))
    wider = run(
        file, "--only", "batch_size=128", "--only", "model=tests.support.failing:Tiny", "--only", "learning_rate=0.01"
    )
    assert " 1/1 tests.support.failing:Tiny fp32 b128 s0" in wider.stdout, wider.stdout + wider.stderr
    after = {path: path.stat().st_mtime_ns for path in file.parent.rglob("record.parquet")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    assert survivors(file) == []


SLOW = (
    HEAD
    + """
model = "tests.support.failing:Slow"
epochs = 1
[matrix]
seed = [0, 1]
batch_size = [1024, 2048]
precision = ["fp32", "bf16_amp"]
"""
)


def records(file: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (file.parent / "results").rglob("record.parquet")}


def test_a_kill_at_any_moment_loses_at_most_the_cell_in_flight(experiment_file: Write) -> None:
    """kill -9 of the launcher, a worker or the fork server, then the same command, until it is done."""
    num_kills = int(os.environ.get("AMPBENCH_TEST_KILLS", "3"))
    file = experiment_file(SLOW.replace("seed = [0, 1]", f"seed = {[*range(2 * num_kills)]}"))  # never done in between
    rng = random.Random(0)
    kept: dict[Path, int] = {}
    begun = time.monotonic()
    for attempt in range(num_kills):
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
    num_seeds = min(len(kept) // 4 + 1, 2 * num_kills)
    result = run(file, "--only", f"seed={','.join(map(str, range(num_seeds)))}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert kept.items() <= records(file).items()
    ids = [row["cell_id"] for row in rows_of(file)]
    assert len(ids) == len(set(ids)) == 4 * num_seeds
    assert {row["status"] for row in rows_of(file)} <= {"ok", "crashed"}
    crashed = [row["because"] for row in rows_of(file) if row["status"] == "crashed"]
    assert all("killed by SIGKILL" in because for because in crashed), crashed
    assert len(crashed) <= num_kills / 3


def fork_servers_of(launcher: int) -> list[int]:
    with suppress(psutil.Error):
        return [p.pid for p in psutil.Process(launcher).children() if any("forkserver" in w for w in p.cmdline())]
    return []


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

    from ampbench.bench.launch.fork_server import start_fork_server

    context = start_fork_server()
    ours, theirs = context.Pipe()
    process = context.Process(target=_look, args=(theirs,))
    process.start()
    seen = ours.recv()
    process.join()
    assert seen == {"torch": True, "ampbench.bench.worker.cell": True, "pandas": True, "cuda": False}
    assert psutil.Process(forkserver._forkserver._forkserver_pid).num_threads() == 1


def _look(connection: Any) -> None:
    import multiprocessing.process

    assert multiprocessing.process.parent_process() is not None
    torch = sys.modules.get("torch")
    connection.send(
        {
            "torch": torch is not None,
            "ampbench.bench.worker.cell": "ampbench.bench.worker.cell" in sys.modules,
            "pandas": "pandas" in sys.modules,
            "cuda": bool(torch and torch.cuda.is_initialized()),
        }
    )
