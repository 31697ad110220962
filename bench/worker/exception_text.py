"""The message of an exception, in one line."""

from __future__ import annotations

import traceback
from itertools import takewhile


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, with those after it up to one that does not end with a colon.

    Of one without a message the line of code that raised it.
    """
    try:
        lines = [line for line in map(str.strip, str(error).splitlines()) if line]
    except Exception:  # an exception whose __str__ raises
        lines = []
    if not lines:
        frames = traceback.extract_tb(error.__traceback__)
        return f"no message, in {frames[-1].line}" if frames and frames[-1].line else "no message"
    announcing = list(takewhile(lambda line: line.endswith(":"), lines))
    return " ".join(lines[: len(announcing) + 1])
