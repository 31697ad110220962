"""A module of ours as a child process that may hang without harm: its time is bounded, and so is what it starts.

After each stage the child prints the worst that is true so far, as one whole line that begins with a mark: whatever
ends the child, the last such line that arrived is the answer.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL

from ampbench.path import ROOT


def last_words(module: str, arguments: Sequence[str], *, mark: str, timeout_s: float) -> str:
    """Run `python -m module arguments`; return the last line of its stdout that begins with `mark`, without that.

    If there is none, the line says why, and how to start the module by hand. Raises nothing but KeyboardInterrupt,
    returns within `timeout_s` and about a second, and leaves no process behind.

    Args:
        module: of ampbench.
        arguments: of the module; the first three are enough for a try by hand.
        mark: begins each line for the user; whatever else a library prints to stdout is not one.
        timeout_s: after which the child is killed.
    """
    command = [sys.executable, "-m", module, *arguments]
    by_hand = f"cd {ROOT} && python {shlex.join(command[1:6])}"
    try:
        status, said = _output(command, timeout_s)
    except Exception as error:  # a sink never costs the matrix its result, whatever befalls it
        return f"nothing logged: {in_words(error)}. Next: {by_hand}"
    lines = [line.removeprefix(mark) for line in said.splitlines() if line.startswith(mark)]
    if lines:
        return lines[-1].replace(f"{Path.cwd()}/", "")
    because = f"it took over {timeout_s:g} s" if status is None else f"the child ended with status {status}"
    return f"nothing logged: {because}. Next, to see why: {by_hand}"


def in_words(error: Exception) -> str:
    """Return an exception as part of a sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")


def _output(command: Sequence[str], timeout_s: float) -> tuple[int | None, str]:
    """Run a command; return its exit status, None if its time was up, and its stdout."""
    status: int | None = None
    with tempfile.TemporaryFile() as said:  # not a pipe, whose end depends on who else inherited it
        child = subprocess.Popen(command, cwd=ROOT, stdin=DEVNULL, stdout=said, stderr=DEVNULL, start_new_session=True)
        try:
            with suppress(subprocess.TimeoutExpired):
                status = child.wait(timeout_s)
        finally:  # Ctrl-C too
            kill_tree(child)
        said.seek(0)
        return status, said.read().decode(errors="replace")


def kill_tree(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's group and all that descends from it: what it started may be in a session of its own.

    The child leads a group of its own and has not been waited for, so that its number is still its own.
    """
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended since
            parents[int(stat.parent.name)] = int(stat.read_bytes().rpartition(b")")[2].split()[1])
    tree = [child.pid]
    for parent in tree:  # grows as it is read
        tree += [pid for pid in parents if parents[pid] == parent]
    for kill, pid in [(os.killpg, child.pid), *((os.kill, pid) for pid in tree[1:])]:
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    child.wait()
