"""A lock on a file, which the kernel releases however its holder ends, also where a file system knows no locks.

On NFS without its lock service, and on some file systems of clusters, no file can be locked. There nothing is held:
what is written is right without locks too, since a file appears as a whole and a run's files name the attempt that
wrote them; but two commands on one folder may measure the same cell twice. The locks of boards are in a folder of the
machine itself, and no worker starts where these do not work.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ampbench.schema.partial import partial_of

UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO)
"""What a file system answers that knows no locks, or whose lock service is away."""


@contextmanager
def hold_file(path: Path, *, timeout_s: float = -1) -> Iterator[None]:
    """Hold the lock of a file inside the `with`, or nothing where its file system knows no locks.

    Args:
        path: the file; its folder must exist.
        timeout_s: how long another holder is waited for; negative for ever.

    Raises:
        filelock.Timeout: another process still holds it.
    """
    if why_unlockable(path.parent):
        yield  # some versions of filelock would wait for ever here
        return
    with FileLock(path, timeout=timeout_s):
        yield


def why_unlockable(folder: Path) -> str | None:
    """Try to lock a file in a folder, or in the nearest one above it that exists; return why its file system cannot.

    None also where no file can be written at all, which is said elsewhere.
    """
    place = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    if place is None:
        return None
    probe = partial_of(place / "lock")
    try:
        file = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        return os.strerror(e.errno) if e.errno in UNKNOWN else None
    finally:
        os.close(file)
        probe.unlink(missing_ok=True)
    return None
