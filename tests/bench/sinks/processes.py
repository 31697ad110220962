"""What a sink starts, and that nothing of it is left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def left_behind() -> list[str]:
    """Return the command of every process that was started from here and still runs."""
    mark, commands = f"TEST_SINKS={os.environ['TEST_SINKS']}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state = (process / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if mark in (process / "environ").read_bytes() and state != b"Z" and int(process.name) != os.getpid():
                commands.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return commands


def nothing_is_left() -> bool:
    """Give what was killed a moment to die: the signal has been sent, the kernel takes its time."""
    deadline_s = time.monotonic() + 10
    while (commands := left_behind()) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return not commands


def time_is_up_when(reached: Callable[[], Any], patch: pytest.MonkeyPatch) -> list[str]:
    """Let the time be up at a moment and not after a time, however slow the machine; return what was running then."""
    wait, running = subprocess.Popen.wait, []

    def wait_until_reached(process: subprocess.Popen[Any], timeout: float | None = None) -> int:
        if timeout is None:
            return wait(process)
        while not reached() and process.poll() is None:
            time.sleep(0.1)
        running.extend(left_behind())
        raise subprocess.TimeoutExpired(process.args, timeout)

    patch.setattr(subprocess.Popen, "wait", wait_until_reached)
    return running


def is_asleep() -> bool:
    return any(command.startswith("sleep") for command in left_behind())
