"""A disk that is full, read-only or not ours is one line with the next move, and takes nothing that was paid for."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.refusals import refuse_unwritable_locks
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store import record
from ampbench.bench.store.disk import Lasting, saying_unwritable, unwritable
from ampbench.bench.store.record import ROOM, room_for_record
from tests.conftest import ROOT
from tests.whole.test_launch import records, rows_of, run, started, wait_until

Write = Callable[..., Path]

ONE = """
question = "Q?"
[fixed]
model = "LeNet"
data = "synthetic"
batch_size = 256
precision = "fp32"
num_threads = 1
epochs = 3
[budget]
checkpoint_minutes = 0
[measure]
keep_best = true
"""


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device.; free some space there, or give --results DIR"),
        (errno.EROFS, "Read-only file system.; make it writable, or give --results DIR"),
        (errno.EACCES, "Permission denied.; make it writable, or give --results DIR"),
    ],
)
def test_a_disk_that_cannot_be_written_is_a_request_that_can_be_mended(number: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=rf"^{tmp_path}: cannot be written .{said}"), saying_unwritable(tmp_path):
        raise OSError(number, "as a library puts it")
    with pytest.raises(RequestError, match=r"^/a/file: "), saying_unwritable(tmp_path):
        raise OSError(number, "words", "/a/file")


def test_a_folder_in_the_place_of_a_file_is_named_and_not_the_partial_file(tmp_path: Path) -> None:
    (tmp_path / "epochs.parquet").mkdir()
    (tmp_path / ".partial").touch()
    named = rf"^{tmp_path / 'epochs.parquet'}: cannot be written \(Is a directory\); mend that path"
    with pytest.raises(RequestError, match=named), saying_unwritable(tmp_path):
        (tmp_path / ".partial").replace(tmp_path / "epochs.parquet")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    assert unwritable(OSError(errno.EBADF, "a bug of ours"), tmp_path) is None
    with pytest.raises(OSError, match="a bug of ours"), saying_unwritable(tmp_path):
        raise OSError(errno.EBADF, "a bug of ours")


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_on_a_full_disk_ends_nothing() -> None:
    print("lost", file=Lasting(Full()), flush=True)
    kept = io.StringIO()
    print("kept", file=Lasting(kept), flush=True)
    assert kept.getvalue() == "kept\n"


def test_the_record_has_its_room_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with room_for_record(tmp_path):
        assert (tmp_path / ROOM).stat().st_blocks * 512 >= 2**20
    assert not (tmp_path / ROOM).exists()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"), room_for_record(tmp_path):
        raise AssertionError("nothing is measured")


def test_locks_that_cannot_be_written_are_said_before_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(board_id="cpu")
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path))
    refuse_unwritable_locks([board])
    refuse_unwritable_locks([board])
    (tmp_path / "file").touch()
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path / "file" / "locks"))
    with pytest.raises(RequestError, match=r"cannot be written .*AMPBENCH_LOCKS=DIR, the same for all"):
        refuse_unwritable_locks([board])


@pytest.mark.whole
def test_a_checkpoint_that_cannot_be_written_ends_no_training_and_its_row_names_the_disk(
    experiment_file: Write,
) -> None:
    """No file may be larger than 150 kB: neither checkpoint nor best.pt fits, the tables do."""
    file = experiment_file(ONE)
    calm = experiment_file(ONE, "calm.toml")
    assert run(calm).returncode == 0
    command = [sys.executable, "bench/run_matrix.py", str(file), "--results", str(file.parent / "results")]
    result = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)),
    )
    assert "Traceback" not in result.stdout + result.stderr, result.stdout + result.stderr
    assert result.returncode == 0
    (row,), (expected,) = rows_of(file), rows_of(calm)
    assert row["status"] == "ok"
    folder = str(file.parent / "results" / "trial" / "runs" / row["run_folder"])
    assert row["checkpoint_note"] == f"no checkpoint after epoch 1: [Errno 27] File too large: '{folder}'"
    assert row["weights_note"].startswith("best.pt of epoch 1 is not kept: [Errno 27] File too large")
    assert expected["checkpoint_note"] is expected["weights_note"] is None
    assert row["test_accuracy"] == expected["test_accuracy"]
    assert not list(file.parent.rglob("*.partial"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a function that (re)mounts a file system in memory with options, as in `size=1m` or `ro`."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount")

    def remount(options: str) -> Path:
        subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
        return place

    yield remount
    subprocess.run(["umount", str(place)], check=True)


def fill(place: Path) -> None:
    """Write until no byte more fits."""
    with (place / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def commands(file: Path, results: Path) -> list[list[str]]:
    one = "bench/run_one.py --model LeNet --data synthetic --epochs 0 --results"
    return [
        ["bench/run_matrix.py", str(file), "--results", str(results)],
        [*one.split(), str(results)],
    ]


def said(command: list[str]) -> tuple[int, str, str]:
    result = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert "Traceback" not in result.stdout + result.stderr, result.stdout + result.stderr
    return result.returncode, result.stdout, result.stderr


@pytest.mark.whole
def test_results_that_are_read_only_or_full_are_one_line_with_the_next_move(
    experiment_file: Write, small_disk: Callable[[str], Path]
) -> None:
    file = experiment_file(ONE)
    for options, why in (("ro", "Read-only file system"), ("rw,size=1m", "No space left on device")):
        place = small_disk(options)
        if options != "ro":
            fill(place)
        for command in commands(file, place):
            code, _, error = said(command)
            assert code == 2
            assert len(error.splitlines()) == 1
            assert f"cannot be written ({why})" in error
            assert "--results DIR" in error
        code, out, _ = said(["bench/run_matrix.py", str(file), "--plan", "--results", str(place)])
        assert code == 0, "a plan writes nothing"
        assert "To run: 1 cell" in out


@pytest.mark.whole
def test_a_disk_that_fills_up_meanwhile_takes_no_finished_cell_and_the_same_command_goes_on(
    experiment_file: Write, small_disk: Callable[[str], Path]
) -> None:
    text = (
        ONE.replace("LeNet", "tests.support.failing:Slow").replace("keep_best = true", "")
        + "[matrix]\nseed = [0, 1, 2]\n"
    )
    place = small_disk("size=20m")
    file = place / "trial.toml"
    file.write_text(text)
    with started(file) as launcher:
        wait_until(lambda: records(file))
        wait_until(lambda: [*place.rglob(ROOM)])
        fill(place)
        output, _ = launcher.communicate(timeout=600)
    assert launcher.returncode == 2, output
    assert "Traceback" not in output
    assert "cannot be written (No space left on device); free some space there" in output.splitlines()[-1]
    kept = records(file)
    assert len(kept) == 2, "the one that was measured had its room"
    (place / "fill").unlink()
    result = run(file)
    assert result.returncode == 0, result.stdout + result.stderr
    assert kept.items() <= records(file).items()
    assert [row["status"] for row in rows_of(file)] == ["ok"] * 3


@pytest.mark.whole
def test_what_only_reads_works_on_a_read_only_disk_and_a_report_says_why_not(
    experiment_file: Write, small_disk: Callable[[str], Path]
) -> None:
    file = experiment_file(ONE + "[matrix]\nseed = [0, 1]\n")
    place = small_disk("size=20m")
    assert said(["bench/run_matrix.py", str(file), "--results", str(place)])[0] == 0
    small_disk("ro")
    results = str(place / "trial")
    code, out, _ = said(["bench/run_matrix.py", str(file), "--plan", "--results", str(place)])
    assert (code, "To run: 0 cells" in out) == (0, True)
    assert said(["-m", "ampbench.visualize.compare", results, results, "--only", "seed=0"])[0] in (0, 2)
    for command in (
        ["-m", "ampbench.visualize.report", results],
        ["bench/run_matrix.py", str(file), "--results", str(place)],
    ):
        code, _, error = said(command)
        assert code == 2
        assert len(error.splitlines()) == 1
        assert "Read-only file system" in error


UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
"""Lets root be refused by a folder's permissions, as everybody else is."""


@pytest.mark.whole
@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root can give up a right")
@pytest.mark.parametrize(
    ("closed", "move"),
    [
        ("results", "--results DIR"),
        ("AMPBENCH_LOCKS", "AMPBENCH_LOCKS=DIR"),
        ("AMPBENCH_CACHE", "AMPBENCH_CACHE=DIR"),
        ("HOME", "AMPBENCH_CACHE=DIR"),
        ("", ""),
    ],
)
def test_whoever_may_not_write_somewhere_is_told_so_in_a_line(
    experiment_file: Write, tmp_path: Path, closed: str, move: str
) -> None:
    file = experiment_file(ONE)
    places = {name: tmp_path / name for name in ("results", "AMPBENCH_LOCKS", "AMPBENCH_CACHE", "HOME")}
    for name, place in places.items():
        place.mkdir(mode=0o555 if name == closed else 0o755)
    environ = {name: str(place) for name, place in places.items() if name != "results"}
    environ["AMPBENCH_LOCKS"] += "/locks"  # a folder of our own we would open to all
    if closed == "HOME":
        environ["AMPBENCH_CACHE"] = ""
    result = subprocess.run(
        [*UNPRIVILEGED, sys.executable, "bench/run_matrix.py", str(file), "--results", str(places["results"])],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in result.stdout + result.stderr, result.stdout + result.stderr
    if not closed:
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Permission denied" in result.stderr
    assert move in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert not records(file)
