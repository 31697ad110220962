"""The one error a user can mend: it names the place, the value, the reason and the next move."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RequestError(ValueError):
    """What was asked for cannot be run; the message is one line and ends with the next move."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the next move for an unknown word: its near miss, else the whole list."""
    names = list(known)
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return f"Did you mean {lower[near[0]]!r}?" if near else f"Known: {', '.join(names)}."
