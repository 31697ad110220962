"""The process that every worker is forked from: when it dies, cells stay as they were, or one line says why not."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ampbench.bench.launch import fork_server
from ampbench.bench.launch.fork_server import check_workers, server_pid, start_fork_server, start_process
from tests.bench.train.test_images import make_folder
from tests.conftest import ROOT
from tests.whole.test_launch import command, records, rows_of, run, started, wait_until

Write = Callable[..., Path]

pytestmark = pytest.mark.whole

OURS = ("OPENBLAS_NUM_THREADS", "JE_ARROW_MALLOC_CONF", "PYTHONPATH")


SHORT = "[measure]\nmax_timing_s = 1\n"


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


ONE = """
question = "Q?"
[fixed]
model = "LeNet"
data = "synthetic"
batch_size = 256
precision = "fp32"
num_threads = 1
[matrix]
seed = [0, 1, 2]
"""


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


def peaks(file: Path) -> dict[str, float]:
    columns = ("baseline_bytes", "startup_peak_bytes", "steady_peak_bytes")
    return {column: statistics.fmean(row[column] for row in rows_of(file)) for column in columns}


@pytest.mark.parametrize("data", ["digits", "folder"])
def test_the_first_run_on_an_empty_cache_takes_the_memory_of_the_second(
    experiment_file: Write, tmp_path: Path, data: str
) -> None:
    name = data if data == "digits" else f"folder:{make_folder(tmp_path / 'images', size=(500, 400))}"
    text = (
        ONE.replace("synthetic", name).replace("256", "8").replace("[0, 1, 2]", "[0]") + "[measure]\nmax_timing_s=1\n"
    )
    found = []
    for i in range(2):
        file = experiment_file(text, f"run{i}.toml")
        result = run(file, AMPBENCH_CACHE=str(tmp_path / "cache"))
        assert result.returncode == 0, result.stdout + result.stderr
        found.append(peaks(file))
    for column, cold in found[0].items():
        assert cold == pytest.approx(found[1][column], rel=0.02), column


def test_bad_images_are_all_named_before_the_first_cell_and_once_mended_the_same_command_runs(
    experiment_file: Write, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "images")
    bad = [folder / "train" / "bee" / "2.png", folder / "test" / "ant" / "1.png"]
    whole = [path.read_bytes() for path in bad]
    for path in bad:
        path.write_bytes(b"no image")
    file = experiment_file(
        ONE.replace("synthetic", f"folder:{folder}").replace("256", "4") + "[measure]\nmax_timing_s=1\n"
    )
    refused = run(file)
    assert refused.returncode == 2
    for path in bad:
        assert refused.stderr.count(f"{path}: no readable image") == 1, refused.stderr
    assert "Traceback" not in refused.stderr + refused.stdout
    assert not records(file)
    for path, content in zip(bad, whole, strict=True):
        path.write_bytes(content)
    mended = run(file)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert [row["status"] for row in rows_of(file)] == ["ok"] * 3


def test_cells_that_failed_earlier_are_kept_and_said_so(experiment_file: Write) -> None:
    file = experiment_file(ONE.replace("LeNet", "tests.support.failing:Raises").replace("[0, 1, 2]", "[0, 1]"))
    assert "Kept from earlier" not in run(file).stdout
    again = run(file).stdout
    assert "Kept from earlier: 2 failed. Their cause is mended? Add --again failed" in again
    assert "2/2" in run(file, "--again", "failed,crashed").stdout
    wrong = run(file, "--again", "failed,crushed")
    assert wrong.returncode == 2
    assert "--again crushed: no such status" in wrong.stderr


def test_a_hang_up_and_a_terminate_are_answered_as_ctrl_c(experiment_file: Write) -> None:
    text = ONE.replace("LeNet", "tests.support.failing:Slow").replace("256", "1024") + "[measure]\nmax_timing_s = 2\n"
    for number, name in ((signal.SIGHUP, "hang.toml"), (signal.SIGTERM, "term.toml")):
        file = experiment_file(text, name)
        with started(file) as launcher:
            wait_until(lambda file=file: [*file.parent.glob(f"results/{file.stem}/runs/*/record.parquet")])  # type: ignore[misc]
            launcher.send_signal(number)
            output, _ = launcher.communicate(timeout=300)
        assert launcher.returncode == 130, output
        assert "of 3 cells are kept. To go on: python bench/run_matrix.py" in output
        assert "Traceback" not in output
        assert len(rows_of(file)) == len([*file.parent.glob(f"results/{file.stem}/runs/*/record.parquet")]) >= 1


def test_under_nohup_a_hang_up_is_no_interruption(experiment_file: Write) -> None:
    file = experiment_file(ONE.replace("[0, 1, 2]", "[0]") + "[measure]\nmax_timing_s = 1\n")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with started(file) as launcher:
            wait_until(lambda: (file.parent / "results").exists())
            launcher.send_signal(signal.SIGHUP)
            output, _ = launcher.communicate(timeout=300)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert launcher.returncode == 0, output


def test_a_reader_that_has_gone_ends_no_run(experiment_file: Write) -> None:
    """`run_matrix.py FILE | head -1`, or a terminal that was closed."""
    file = experiment_file(ONE.replace("[0, 1, 2]", "[0, 1]") + "[measure]\nmax_timing_s = 1\n")
    process = subprocess.Popen(command(file), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(300) == 0, errors
    assert errors == ""
    assert pq.read_table(file.parent / "results" / "trial" / "cells.parquet").num_rows == 2


def test_decoding_that_is_killed_or_interrupted_goes_on_where_it_was(experiment_file: Write, tmp_path: Path) -> None:
    """kill -9 of the launcher, then of the process that decodes, then Ctrl-C; nothing is decoded twice."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 4)):
        for name in ("ant", "bee"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / "images" / split / name / f"{i}.jpg")
    text = ONE.replace("synthetic", f"folder:{tmp_path / 'images'}").replace("256", "4").replace("[0, 1, 2]", "[0]")
    file = experiment_file(text + SHORT)
    cache = {"AMPBENCH_CACHE": str(tmp_path / "cache")}

    def known() -> int:
        return sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("cache/images/*growing/index"))

    def decoders() -> list[psutil.Process]:
        open_files = [(p, f.path) for p in psutil.process_iter() for f in opened(p)]
        return [p for p, path in open_files if path.startswith(str(tmp_path / "cache")) and path.endswith("pixels")]

    before = 0
    for how in ("launcher", "decoder", "ctrl-c"):
        with started(file, **cache) as launcher:
            wait_until(lambda before=before: known() > before)  # type: ignore[misc]
            if how == "launcher":
                launcher.kill()
            elif how == "decoder":
                decoders()[0].kill()
            else:
                launcher.send_signal(signal.SIGINT)
            output, _ = launcher.communicate(timeout=300)
        wait_until(lambda: not decoders(), 60)
        if how == "decoder":
            assert launcher.returncode == 2, output
            assert "was killed by SIGKILL" in output
            assert "what is decoded is kept, and the same command goes on" in output
        elif how == "ctrl-c":
            assert launcher.returncode == 130, output
            assert "Interrupted: 0 of 1 cells are kept. To go on:" in output
        assert "Traceback" not in output
        assert not records(file)
        assert before < known() < 128, how
        before = known()
    result = run(file, **cache)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [row["status"] for row in rows_of(file)] == ["ok"]


def opened(process: psutil.Process) -> list[Any]:
    try:
        return list(process.open_files())
    except psutil.Error:
        return []


def test_data_that_cannot_be_fetched_is_one_line_and_not_one_a_cell(experiment_file: Write, tmp_path: Path) -> None:
    file = experiment_file(ONE.replace("synthetic", "cifar10"))
    dead = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    result = run(file, AMPBENCH_CACHE=str(tmp_path / "cache"), **dead)
    assert result.returncode == 2, result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("data = 'cifar10': download from ")
    assert not records(file)


@pytest.mark.parametrize(
    "words",
    ["bench/run_matrix.py FILE --plan", "bench/run_matrix.py --help", "-m visualize.compare results/demo "
     "--a precision=fp32 --b precision=bf16_amp"],
)  # fmt: skip
def test_a_full_disk_below_stdout_is_one_line_and_a_reader_that_has_gone_none(
    words: str, experiment_file: Write
) -> None:
    command = [sys.executable, *words.replace("FILE", str(experiment_file(ONE))).split()]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert result.stderr.startswith("stdout: cannot be written (No space left on device)")
    gone = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert gone.stdout is not None
    assert gone.stderr is not None
    gone.stdout.close()
    assert gone.stderr.read() == ""
    assert gone.wait(60) in (1, 141)
