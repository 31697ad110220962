"""Locks on a file system that knows none: nothing hangs, and results are as right as with them."""

from __future__ import annotations

import errno
import fcntl
import threading
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from ampbench.bench.launch.readiness.finding import Subject
from ampbench.bench.launch.readiness.places import cache_writable, locks_writable, results_writable
from ampbench.bench.launch.slurm.ledger import Array, Job, Ledger
from ampbench.bench.machine.file_lock import hold_file, why_unlockable
from ampbench.bench.machine.locks import hold_run
from ampbench.bench.store.folder import Folder
from ampbench.bench.store.join import complaints, join
from tests.support.results import finish, plan_of

SUBJECT = Subject(results=Path(), data=())


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(request.param, "as on NFS")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_where_files_can_be_locked_a_second_holder_waits_and_nothing_is_left_of_the_trial(tmp_path: Path) -> None:
    assert why_unlockable(tmp_path) is None
    assert why_unlockable(tmp_path / "not" / "yet") is None
    assert list(tmp_path.iterdir()) == []
    with FileLock(tmp_path / "x"), pytest.raises(Timeout), hold_file(tmp_path / "x", timeout_s=0):
        pass
    assert not list(complaints(Folder(path=tmp_path)))


@pytest.mark.usefixtures("no_locks")
def test_without_locks_nothing_waits_for_ever(tmp_path: Path) -> None:
    done = threading.Event()

    def work() -> None:
        with hold_run(tmp_path), hold_file(tmp_path / ".search.lock", timeout_s=0):
            done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert done.wait(20)


@pytest.mark.usefixtures("no_locks")
def test_jobs_are_written_down_where_nothing_can_be_locked(tmp_path: Path) -> None:
    """Clusters with Slurm often keep results on such file systems."""
    done = threading.Event()

    def work() -> None:
        ledger = Ledger.of(tmp_path)
        with ledger.changing():
            ledger.add(Array(name="a", cluster="slurm", jobs=(Job(group_id="g", task=0),)))
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert done.wait(20)
    assert [array.name for array in Ledger.of(tmp_path).arrays] == ["a"]


@pytest.mark.usefixtures("no_locks")
def test_a_folder_of_results_without_locks_is_named_in_a_line_and_can_be_used(tmp_path: Path) -> None:
    folder, plan = Folder(path=tmp_path / "trial"), plan_of()
    [line] = complaints(folder)
    assert line.startswith(f"{folder.path}: no file can be locked there (")
    assert "start one command at a time on this folder, or give --results DIR" in line
    finish(folder, plan, 2)
    assert join(plan, folder)
    assert not join(plan, folder)
    found = results_writable(Subject(results=tmp_path, data=()))
    assert (found.level, found.said) == ("warning", line.replace(str(folder.path), str(tmp_path)))


@pytest.mark.usefixtures("no_locks")
def test_images_of_a_folder_are_not_decoded_where_two_could_append_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMPBENCH_CACHE", str(tmp_path / "cache"))
    for split in ("train", "test"):
        (tmp_path / "cats" / split / "tabby").mkdir(parents=True)
        (tmp_path / "cats" / split / "tabby" / "1.png").touch()
    found = cache_writable(Subject(results=tmp_path, data=((f"folder:{tmp_path}/cats", 32),)))
    assert found.level == "failed"
    assert "no file can be locked there" in found.said
    assert "AMPBENCH_CACHE=DIR" in found.said
    assert cache_writable(Subject(results=tmp_path, data=(("digits", 32),))).level == "ok", "appears as a whole"


@pytest.mark.usefixtures("no_locks")
def test_no_cell_starts_where_the_locks_of_boards_do_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPBENCH_LOCKS", str(tmp_path))
    found = locks_writable(SUBJECT)
    assert found.level == "failed"
    assert f"{tmp_path}: no file can be locked there" in found.said
    assert "AMPBENCH_LOCKS=DIR" in found.said
