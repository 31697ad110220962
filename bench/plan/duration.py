"""A duration as a person reads it: in a sentence, or in a column that is drawn again every second."""

from __future__ import annotations


def in_words(seconds: float) -> str:
    """Return it as in `1 h 05 min` or `3 min 05 s`."""
    hours, minutes, rest = _split(seconds)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def as_clock(seconds: float) -> str:
    """Return it as in `1:05:00`."""
    hours, minutes, rest = _split(seconds)
    return f"{hours}:{minutes:02}:{rest:02}"


def _split(seconds: float) -> tuple[int, int, int]:
    minutes, rest = divmod(round(seconds), 60)
    return *divmod(minutes, 60), rest
