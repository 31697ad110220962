"""The lock of the whole machine: cells of several boards hold it together, an exclusive cell holds it alone.

Whoever takes it first passes a turnstile, a second lock, at which an exclusive cell stands until it has the machine: so
it waits for the cells that are at work, and not for those that would begin meanwhile, one board after another for ever.
The kernel releases both however their process ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ampbench.bench.machine.locks import file_for, holder_text, lock_folder, name_holder

"""Of `--exclusive`, in every command."""

OTHERS = "other cells of this machine, which are to end first"


@contextmanager
def hold_machine(owner: str, waiting: Callable[[str], None], *, exclusive: bool) -> Iterator[None]:
    """Hold the lock of this machine inside the `with`. It is taken before the lock of a board, never after it.

    Args:
        owner: what runs, in words for a process that has to wait.
        waiting: called once with who holds the machine, if that has to be waited for.
        exclusive: whether no other cell may be at work on any board meanwhile.
    """
    machine, turnstile = _paths()
    told = False

    def wait_for(file: int, kind: int, holder: Callable[[], str]) -> None:
        nonlocal told
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                told = True
                waiting(holder())
            fcntl.flock(file, kind)

    held = file_for(machine)
    try:
        turn = file_for(turnstile)
        try:
            wait_for(turn, fcntl.LOCK_EX, lambda: holder_text(machine.with_suffix(".holder")))
            if exclusive:
                name_holder(machine.with_suffix(".holder"), owner)
                wait_for(held, fcntl.LOCK_EX, lambda: OTHERS)
            else:
                wait_for(held, fcntl.LOCK_SH, lambda: holder_text(machine.with_suffix(".holder")))
        finally:
            os.close(turn)
        yield
    finally:
        os.close(held)


def try_machine() -> None:
    """Check that this process may take the machine's lock, whoever holds it now.

    Raises:
        OSError: a file of it cannot be written here.
    """
    for path in _paths():
        os.close(file_for(path))


def _paths() -> tuple[Path, Path]:
    """Return the files of the lock and of its turnstile."""
    return lock_folder() / "machine.lock", lock_folder() / "machine-turnstile.lock"
