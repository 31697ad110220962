"""Locks between processes: one worker at a time on a board, and one in a run's folder.

The CPU is a board too. A lock is a file that the kernel locks for a process, so it is released however that process
ends. Beside the lock of a board is a file that names its holder: for the message of a process that waits, and so that
a launcher can tell our workers from other processes.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ampbench.bench.machine.board import Board
from ampbench.bench.machine.file_lock import hold_file
from ampbench.bench.machine.process_tree import group_pids


def lock_folder() -> Path:
    """Return the folder that all users of this machine share for the locks of its boards."""
    folder = Path(os.environ.get("AMPBENCH_LOCKS") or Path(tempfile.gettempdir()) / "ampbench-locks")
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):
        folder.chmod(0o1777)
    return folder


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder inside the `with`.

    Waits without a limit for the holder: a worker whose launcher was killed, and which is about to end. Two workers may
    be here at once where locks do not work, or do not reach to another machine; each then writes its own files whole.
    """
    with hold_file(folder / ".lock"):
        yield


def holder_pids(board: Board) -> list[int]:
    """Return the pids of the worker that holds a board, or held it last, and of its ranks; empty if there was none."""
    try:
        holder = int(json.loads(_board_path(board).with_suffix(".holder").read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return [holder, *(pid for pid in group_pids(holder) if pid != holder)]


@contextmanager
def hold_board(board: Board, owner: str, waiting: Callable[[str], None]) -> Iterator[float]:
    """Hold the lock of a board inside the `with`; yield the seconds waited for it.

    Two processes of two threads each on two cores run at 1/60 of the speed of one, so the second waits.

    Args:
        board: the board.
        owner: what runs there, in words for a process that has to wait.
        waiting: called once with the owner that holds the board, if there is one.
    """
    path = _board_path(board)
    holder = path.with_suffix(".holder")
    started = time.monotonic()
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting(holder_text(holder))
        lock.acquire(poll_interval=0.05)
    try:
        name_holder(holder, owner)
        yield time.monotonic() - started
    finally:
        lock.release()


def try_board(board: Board) -> None:
    """Check that this process may take a board's lock, whoever holds it now.

    Raises:
        OSError: its file cannot be written here.
    """
    os.close(file_for(_board_path(board)))


@contextmanager
def hold_boards(boards: Sequence[Board], owner: str, waiting: Callable[[str], None]) -> Iterator[float]:
    """Hold the locks of several boards inside the `with`, as `hold_board`; yield the seconds waited for all of them.

    They are locked in the order of their ids, whatever the given order, so no two cells can wait for each other.
    """
    with ExitStack() as held:
        ordered = sorted(boards, key=lambda board: board.board_id)
        yield sum(held.enter_context(hold_board(board, owner, waiting)) for board in ordered)


def num_others_at_work(own: Sequence[Board]) -> int:
    """Count the boards of this machine that a worker of any launcher holds now, the `own` ones aside.

    To see it, each lock is asked for and given back within microseconds; who wants it just then asks again.
    """
    ours = {_board_path(board) for board in own}
    return sum(path not in ours and _is_held(path) for path in lock_folder().glob("board-*.lock"))


def file_for(path: Path) -> int:
    """Return a descriptor of the file of a lock, which is created if there is none.

    Raises:
        OSError: it cannot be written here.
    """
    # Without O_CREAT if it exists: in a folder with the sticky bit the kernel refuses that for another user's file.
    file = os.open(path, os.O_RDWR if path.exists() else os.O_RDWR | os.O_CREAT, 0o666)
    with suppress(PermissionError):
        os.fchmod(file, 0o666)
    return file


def name_holder(path: Path, owner: str) -> None:
    """Write who holds a lock, and what runs there, into the file beside it."""
    with suppress(OSError):  # Only for the message: another user's file may be in the way.
        path.write_text(json.dumps({"pid": os.getpid(), "owner": owner}))


def holder_text(path: Path) -> str:
    """Return what runs where a lock is held, from the file beside it."""
    try:
        said = json.loads(path.read_text())
        return f"{said['owner']} (process {said['pid']})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"


def _is_held(path: Path) -> bool:
    """Whether a process holds a lock; False for a file of another user that cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _board_path(board: Board) -> Path:
    """Return the file that is locked for a board."""
    return lock_folder() / f"board-{re.sub('[^A-Za-z0-9-]', '_', board.board_id)}.lock"
