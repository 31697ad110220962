"""Errors of writing: one line with the next move where results cannot be written, ignored where only text is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ampbench.bench.machine.file_lock import why_unlockable
from ampbench.bench.plan.errors import RequestError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Read-only, or owned by another user."""
NO_FOLDER = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP)
"""A file where a folder should be, a folder where a file should be, a folder that cannot be made, a name too long."""
GONE = (errno.EPIPE, errno.EIO)
"""A terminal that was closed, or a pipe without a reader."""

ELSEWHERE = "give --results DIR for another place"
"""The next move where the disk stays as it is."""


def unwritable(error: OSError, place: Path, other: str = ELSEWHERE) -> str | None:
    """Say in a line that `place`, or the file that the error names, cannot be written; None for another error.

    Args:
        error: of any call that writes.
        place: named where the error names no file.
        other: the next move where the disk stays as it is.
    """
    if error.errno not in (*FULL, *CLOSED, *NO_FOLDER) or (error.errno in NO_FOLDER and not _below(error, place)):
        return None
    mend = "free some space there" if error.errno in FULL else "make it writable"
    mend = "mend that path" if error.errno in NO_FOLDER else mend
    named = error.filename2 or error.filename or place  # the new name, for a rename
    return f"{named}: cannot be written ({os.strerror(error.errno)}); {mend}, or {other}"


def without_locks(folder: Path) -> str | None:
    """Say in a line that no file can be locked on the file system of a folder; None if one can."""
    why = why_unlockable(folder)
    return why and (
        f"{folder}: no file can be locked there ({why}), as on NFS without its lock service: start one command at a "
        f"time on this folder, or {ELSEWHERE}; two would measure the same cells twice, and mix no rows"
    )


def _below(error: OSError, place: Path) -> bool:
    """Whether the file that an error names is `place`, in it, or a folder above it: else it has another cause."""
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
    return named is not None and (named.is_relative_to(place) or place.is_relative_to(named))


@contextmanager
def saying_unwritable(place: Path, other: str = ELSEWHERE) -> Iterator[None]:
    """Context in which a disk that cannot be written raises RequestError, which is one line and no traceback."""
    try:
        yield
    except OSError as e:
        message = unwritable(e, place, other)
        if message is None:
            raise
        raise RequestError(message) from e


class Lasting:
    """A text stream that ignores errors of writing: text that cannot be written is lost, and nothing else.

    A closed terminal, `| head` or a log on a full disk does not end a training.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is still possible."""
        self._try(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is still possible."""
        self._try(self._stream.flush)

    def _try(self, call: Any, *arguments: Any) -> None:
        try:
            call(*arguments)
        except OSError as e:
            if e.errno in GONE:  # for ever; its buffer, too, must be flushed to somewhere at the end
                to_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def to_nowhere(stream: Any) -> None:
    """Discard whatever is written to a stream from now on."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
