"""A child process that is told things through a pipe which is never waited for.

The kernel's pipe is the queue: a message of at most PIPE_BUF bytes fits whole or not at all (pipe(7)), and one that
does not fit is dropped and counted. So the launcher needs neither a thread nor a buffer, and a child that hangs, is
stopped or has died costs it one system call a message.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from select import PIPE_BUF
from subprocess import DEVNULL
from typing import Any

from ampbench.bench.sinks.child import kill_tree
from ampbench.path import ROOT

QUEUE_BYTES = 2**20
"""Of a pipe: the most that Linux lets anybody have; some thousand messages."""


class Feed:
    """A module of ours as a child, and the pipe to its stdin."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self.num_dropped = 0
        """Messages for which there was no room."""
        self._process: subprocess.Popen[bytes] | None = None
        reading, self._writing = os.pipe()
        try:
            os.set_blocking(self._writing, False)
            with suppress(OSError):  # many pipes of one user may be limited to 64 KiB
                fcntl.fcntl(self._writing, fcntl.F_SETPIPE_SZ, QUEUE_BYTES)
            command = [sys.executable, "-m", module, *arguments]
            with suppress(OSError):  # no child: it is told nothing, as one that has died
                self._process = subprocess.Popen(
                    command, cwd=ROOT, stdin=reading, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True
                )
        finally:
            os.close(reading)

    def send(self, **message: Any) -> None:
        """Tell the child a message of JSON's types, if there is room for it. Never waits, raises nothing."""
        if self._writing < 0:
            return
        line = json.dumps(message).encode() + b"\n"
        try:
            if len(line) > PIPE_BUF:
                raise BlockingIOError
            os.write(self._writing, line)
        except BlockingIOError:
            self.num_dropped += 1
        except OSError:  # it has ended
            self._hang_up()

    def end(self) -> None:
        """Tell the child that nothing follows. Never waits."""
        self._hang_up()

    def close(self, *, until_s: float) -> None:
        """Let the child end until then by `time.monotonic()`, and kill it and all it started if it does not."""
        self._hang_up()
        if self._process is None:
            return
        try:
            _wait_unreaped(self._process, until_s)
        finally:
            kill_tree(self._process)

    def _hang_up(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1


def _wait_unreaped(process: subprocess.Popen[bytes], until_s: float) -> None:
    """Wait for the end of a child but leave it a zombie, so that nobody gets its number before its group is killed.

    It polls, and is called after the last measurement only.
    """
    while time.monotonic() < until_s:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.02)
