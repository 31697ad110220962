"""Ctrl-C while a command still loads its libraries: it ends at once, without the traceback of some import."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130
"""The exit code of a command that was interrupted, as a shell counts it."""


def end_quietly() -> None:
    """Let Ctrl-C end this process without a word, until `raise_again`; a process that ignores it goes on to ignore it.

    Called on the first line of a command, while nothing is under way that would have to be ended in order. A process
    that forks meanwhile would hand this on; one that starts a program would not.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, where `end_quietly` took that away: now the command itself begins."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    os._exit(INTERRUPTED)
