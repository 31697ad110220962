"""The process that every worker is forked from: when it dies, cells stay as they were, or one line says why not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from ampbench.bench.launch.local import fork_server
from ampbench.bench.launch.local.fork_server import check_workers, server_pid, start_fork_server, start_process
from tests.support.experiments import QUICK
from tests.whole.line import records, rows_of, run, started, wait_until

Write = Callable[..., Path]


pytestmark = pytest.mark.whole


OURS = ("OPENBLAS_NUM_THREADS", "JE_ARROW_MALLOC_CONF", "PYTHONPATH")


def _look(messages: Any) -> None:
    messages.send({"environ": {name: os.environ.get(name) for name in OURS}, "torch": "torch" in sys.modules})


def seen(context: Any) -> dict[str, Any]:
    process, messages = start_process(context, _look)
    found: dict[str, Any] = messages.recv()
    process.join()
    return found


def end_server() -> None:
    pid = server_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_a_server_that_was_killed_is_replaced_by_one_that_is_the_same() -> None:
    context = start_fork_server()
    check_workers(context)
    first = seen(context)
    assert first["environ"]["OPENBLAS_NUM_THREADS"] == "1"
    assert first["torch"]
    end_server()
    assert seen(context) == first
    pid = server_pid()
    assert pid is not None
    assert psutil.Process(pid).num_threads() == 1
    assert all(os.environ.get(name) != first["environ"][name] for name in OURS), "it is the server's, not ours"
    assert psutil.Process(pid).parent() == psutil.Process()


def test_a_server_that_is_killed_in_its_first_moment_is_replaced_too(monkeypatch: pytest.MonkeyPatch) -> None:
    context = start_fork_server()
    end_server()
    ensure_running, kills = fork_server._ensure_running, iter([True, False])

    def ensure_and_kill() -> None:
        ensure_running()
        if next(kills, False):
            os.kill(server_pid() or 0, signal.SIGKILL)

    monkeypatch.setattr(fork_server, "_ensure_running", ensure_and_kill)
    assert seen(context)["torch"]


ONE = QUICK + "[matrix]\nseed = [0, 1, 2]\n"


@pytest.mark.parametrize(
    ("torch", "said"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n", "loads torch for all cells was killed by SIGILL"),
        ("import os\nos._exit(7)\n", "loads torch for all cells ended with exit code 7"),
        ("raise ImportError('libcudart.so.99: cannot open')\n", "no worker can start: ImportError: libcudart.so.99"),
        ("raise ValueError('no such driver')\n", "loads torch for all cells ended with exit code 1"),
    ],
)
def test_a_torch_that_does_not_load_is_one_line_before_the_first_cell(
    experiment_file: Write, tmp_path: Path, torch: str, said: str
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(torch)
    file = experiment_file(ONE)
    result = run(file, PYTHONPATH=str(tmp_path))
    assert result.returncode == 2, result.stdout + result.stderr
    assert said in result.stderr.splitlines()[-1]
    assert "To see why: cd" in result.stderr.splitlines()[-1]
    assert "1/3" not in result.stdout
    assert not records(file)


def server_of(launcher: subprocess.Popen[str]) -> int:
    found: list[int] = []

    def there() -> bool:
        children = psutil.Process(launcher.pid).children()
        found[:] = [p.pid for p in children if any("forkserver" in word for word in p.cmdline())]
        return bool(found)

    wait_until(there)
    return found[0]


def test_cells_after_the_death_of_the_server_are_measured_as_those_before(experiment_file: Write) -> None:
    file = experiment_file(
        ONE.replace("LeNet", "tests.support.failing:Slow").replace("[0, 1, 2]", "[0, 1, 2, 3]").replace("256", "1024")
        + "[measure]\nmax_timing_s = 2\n"
    )
    with started(file) as launcher:
        wait_until(lambda: records(file))
        os.kill(server_of(launcher), signal.SIGKILL)  # in the middle of the second cell, which goes on
        output, _ = launcher.communicate(timeout=600)
    assert launcher.returncode == 0, output
    rows = sorted(rows_of(file), key=lambda row: row["order"])
    assert [row["status"] for row in rows] == ["ok"] * 4, output
    for column, most in (("baseline_bytes", 1.03), ("startup_peak_bytes", 1.2), ("steady_peak_bytes", 1.2)):
        values = [row[column] for row in rows]
        assert max(values) < most * min(values), (column, values)  # it was 1.7
    assert len({row["environment_id"] for row in rows}) == 1


def test_cells_that_failed_earlier_are_kept_and_said_so(experiment_file: Write) -> None:
    file = experiment_file(ONE.replace("LeNet", "tests.support.failing:Raises").replace("[0, 1, 2]", "[0, 1]"))
    assert "Kept from earlier" not in run(file).stdout
    again = run(file).stdout
    assert "Kept from earlier: 2 failed. Their cause is mended? Add --again failed" in again
    assert "2/2" in run(file, "--again", "failed,crashed").stdout
    wrong = run(file, "--again", "failed,crushed")
    assert wrong.returncode == 2
    assert "--again crushed: no such status" in wrong.stderr
