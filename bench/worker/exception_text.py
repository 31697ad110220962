"""What an exception says, in a line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # one of its own, that cannot say what it is
        lines = []
    return lines[0] if lines else "no message"
