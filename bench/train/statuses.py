"""Exceptions that end a cell and are results: each becomes a status of its record."""

from __future__ import annotations


class Unsupported(RuntimeError):
    """This machine or this torch cannot do what the cell asks; the message says why."""


class Throttled(RuntimeError):
    """The board held its clocks back for so long that no timing is left; the message says how it did."""


class Diverged(RuntimeError):
    """The loss is no longer finite; the message says where."""


class Pruned(RuntimeError):
    """The training fell behind the earlier trials of its search; the message says where."""


class DataTooLarge(MemoryError):
    """The data set alone does not fit; says nothing of any batch size. The message says what to do."""


class Interrupted(KeyboardInterrupt):
    """A person wants this process to end. A KeyboardInterrupt that a model raises is none."""
