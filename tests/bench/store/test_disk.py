"""Errors of a disk: distinguished from others and reported in one line; logs and output go on without it."""

from __future__ import annotations

import errno
import io
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ampbench.bench.launch.refusals import refuse_unwritable_locks
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store import joined_tables, record
from ampbench.bench.store.disk import Lasting, saying_unwritable, unwritable
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import join, joined_rows
from ampbench.bench.store.record import ROOM, room_for_record, write_run
from tests.bench.store.conftest import run_of
from tests.conftest import ROOT
from tests.support.experiments import QUICK
from tests.support.measuring import record_of, traces_of
from tests.support.results import finish, plan_of
from tests.whole.line import rows_of, run

Write = Callable[..., Path]


ONE = QUICK + "epochs = 3\n[budget]\ncheckpoint_minutes = 0\n[measure]\nkeep_best = true\n"


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


def test_a_file_where_the_folder_of_a_run_should_be_is_one_line(tmp_path: Path) -> None:
    folder, cell = Folder(path=tmp_path / "trial"), plan_of().cells[0]
    folder.run_path(cell).parent.mkdir(parents=True)
    folder.run_path(cell).touch()
    assert folder.done([cell]) == {}
    with (
        pytest.raises(RequestError, match=rf"{cell.run_folder}: cannot be written \(File exists\); mend that path, or"),
        saying_unwritable(folder.path),
    ):
        run_of(folder, cell).save()


def test_a_folder_of_results_that_is_deleted_meanwhile_is_one_line(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path / "trial"), plan_of()
    finish(folder, plan, 1)
    shutil.rmtree(folder.path)
    cell = plan.cells[0]
    said = pytest.raises(RequestError, match=r"cannot be written \(No such file or directory\); mend that path, or")
    with said, saying_unwritable(folder.path):
        write_run(folder.run_path(cell), cell, record_of({}), traces_of({}))


@pytest.mark.parametrize("table", ["cells", "steps"])
def test_a_disk_that_fills_up_during_a_join_leaves_the_tables_before_and_no_part_of_new_ones(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = Folder(path=tmp_path / "trial"), plan_of()
    finish(folder, plan, 1)
    join(plan, folder)
    before = {path.name: path.read_bytes() for path in folder.path.glob("*.parquet")}
    finish(folder, plan, 2)
    write = joined_tables.JoinedTables._write

    def full(self: joined_tables.JoinedTables, name: str) -> None:
        if name == table:
            raise OSError(28, "No space left on device")
        write(self, name)

    with monkeypatch.context() as there:
        there.setattr(joined_tables.JoinedTables, "_write", full)
        with pytest.raises(RequestError, match="No space left on device"), saying_unwritable(folder.path):
            join(plan, folder)
    assert {path.name: path.read_bytes() for path in folder.path.glob("*.parquet")} == before
    assert not list(folder.path.glob(".*partial"))
    assert join(plan, folder)
    assert len(joined_rows(folder, ["cell_id", "status"])) == 2 + len(plan.excluded)
