"""A disk that is full, read-only or closed to a user: one line that says what to do, and no measured result is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ampbench.bench.store.record import ROOM
from tests.bench.store.test_disk import ONE, Write
from tests.conftest import ROOT
from tests.whole.line import records, rows_of, run, started, wait_until


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
    """Write until the disk is full."""
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
"""Makes a folder's permissions apply to root too."""


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
