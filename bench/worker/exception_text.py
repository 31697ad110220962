"""The message of an exception, in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an exception whose __str__ raises
        lines = []
    return lines[0] if lines else "no message"
