"""The one error that a user can correct: it names the place, the value, the reason and the next move."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ampbench.terminal import printable

MAX_CHARACTERS = 1500
"""Of a message; a value of a thousand lines is shortened in its middle."""


class RequestError(ValueError):
    """What was asked for cannot be run; the message is one line and ends with the next move."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Return a text as one line that a terminal only shows: control characters as escapes, its middle left out."""
    words = printable("".join(character if character.isprintable() else repr(character)[1:-1] for character in text))
    if len(words) <= MAX_CHARACTERS:
        return words
    return f"{words[: MAX_CHARACTERS * 2 // 3]} [...] {words[-MAX_CHARACTERS // 3 :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the next move for an unknown word: its near miss, else the whole list."""
    names = list(known)
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return f"Did you mean {lower[near[0]]!r}?" if near else f"Known: {', '.join(names)}."
