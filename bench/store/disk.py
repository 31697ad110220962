"""A disk that is full, read-only or not ours: said in one line with the next move, and survived by what only talks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ampbench.bench.plan.errors import RequestError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Read-only, or of somebody else."""
NO_FOLDER = (errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP)
"""A file where a folder should be or the other way round, a folder that cannot be made there, a name too long."""
GONE = (errno.EPIPE, errno.EIO)
"""A terminal that was closed, a pipe that nobody reads any more."""

ELSEWHERE = "give --results DIR for another place"
"""The next move that needs no mending of the disk."""


def unwritable(error: OSError, place: Path, other: str = ELSEWHERE) -> str | None:
    """Say in a line that `place`, or the file that the error names, cannot be written; None for another error.

    Args:
        error: of any call that writes.
        place: named where the error names no file.
        other: the next move that needs no mending of the disk.
    """
    if error.errno not in (*FULL, *CLOSED, *NO_FOLDER) or (error.errno in NO_FOLDER and not _below(error, place)):
        return None
    mend = "free some space there" if error.errno in FULL else "make it writable"
    mend = "mend that path" if error.errno in NO_FOLDER else mend
    named = error.filename2 or error.filename or place  # where something is renamed, it is the new name
    return f"{named}: cannot be written ({os.strerror(error.errno)}); {mend}, or {other}"


def _below(error: OSError, place: Path) -> bool:
    """Whether the file that an error names is `place`, in it, or a folder above it: else the fault is another one."""
    named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
    return named is not None and (named.is_relative_to(place) or place.is_relative_to(named))


@contextmanager
def saying_unwritable(place: Path, other: str = ELSEWHERE) -> Iterator[None]:
    """Context in which a disk that cannot be written is a request that can be mended, and no traceback."""
    try:
        yield
    except OSError as e:
        message = unwritable(e, place, other)
        if message is None:
            raise
        raise RequestError(message) from e


class Lasting:
    """A text stream that outlives its reader or its disk: what cannot be written any more is lost, and nothing else.

    A terminal that is closed, `| head`, a log on a full disk: none of them ends a training.
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
            if e.errno in GONE:  # for good; what is in its buffer, too, has to go somewhere at the end
                to_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def to_nowhere(stream: Any) -> None:
    """Let whatever else goes to a stream vanish."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
