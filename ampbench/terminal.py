"""What a terminal can show: a text is printed even where the terminal's encoding lacks a sign such as ±."""

from __future__ import annotations

import codecs
import errno
import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPELLED = {
    "±": "+/-", "–": "-", "—": "-", "−": "-", "‑": "-", "─": "-", "━": "=", "═": "=", "│": "|", "×": "x", "→": "->",
    "←": "<-", "…": "...", "≤": "<=", "≥": ">=", "≈": "~", "µ": "u", "μ": "u", "²": "^2", "·": "*", "•": "*",
    "‘": "'", "’": "'", "“": '"', "”": '"', "\N{NO-BREAK SPACE}": " ", "\N{NARROW NO-BREAK SPACE}": " ",
}  # fmt: skip
"""Sign in our texts -> how it is written in ASCII."""
HANDLER = "spelled"

WIDTH = 100
"""Columns of summary.txt, and of what is printed where there is no terminal."""
NARROWEST, WIDEST = 20, 160
"""Columns that a text is written for; longer lines would be hard to read."""


def spell(error: UnicodeError) -> tuple[str, int]:
    """Replace signs that an encoding lacks, by `SPELLED` or else by question marks: an error handler of codecs.

    Raises:
        UnicodeError: `error` itself, when decoding.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wanted = error.object[error.start : error.end]
    return "".join(SPELLED.get(sign, "?") for sign in wanted).encode("ascii").decode("ascii"), error.end


def show_everything() -> None:
    """Let stdout and stderr take every text, in whatever encoding; called once, at the start of every command.

    Processes that the command starts write UTF-8: they write to logs and pipes, not to a terminal. A closed stream is
    replaced by /dev/null, and a width of 0, which some terminals report, counts as unknown.
    """
    _open_all()
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)
    codecs.register_error(HANDLER, spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)
    os.environ |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}


def _open_all() -> None:
    """Open stdin, stdout and stderr where they are closed: else the next opened file would get what is printed."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            os.set_inheritable(number, True)
            if nowhere != number:
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def terminal_width() -> int:
    """Return the columns to write a text for."""
    return min(max(shutil.get_terminal_size((WIDTH, 0)).columns, NARROWEST), WIDEST)


def printable(text: str) -> str:
    """Return a text that UTF-8 can encode: a file's name may contain bytes that are not UTF-8."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def unwritten(error: OSError, place: object) -> str:
    """Say that something could not be written, why, and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    in_the_way = error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST)
    move = "free some space there" if full else "mend that path" if in_the_way else "mend its permissions"
    return f"{error.filename2 or error.filename or place}: cannot be written ({os.strerror(error.errno or 0)}); {move}"


@contextmanager
def saying_unwritten() -> Iterator[None]:
    """Context of a whole command: a stdout on a full disk gives one line and exit code 2, a closed pipe exit code 1."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as e:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter tries once more
        if e.errno == errno.EPIPE:
            sys.exit(1)
        print(unwritten(e, "stdout"), file=sys.stderr)
        sys.exit(2)
