"""Steps one after another within a number of minutes: none can stop the next, and none can take its time.

What a step leaves of its share goes to those after it. Standard library only, so that it runs where nothing is
installed and can say so.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

GRACE_S = 10.0
"""Between the interrupt at the end of a step's time, after which it may still join what it has, and the kill."""

STOPPED = "stopped"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command that is given a share of the time."""

    name: str
    about: str
    command: tuple[str, ...]
    share: float
    """Of the time, as parts of what this step and those after it have."""
    at_least_s: float = 0.0
    """With less it is left out: it would be stopped before it has anything to show."""
    goes_on: bool = False
    """Whether it keeps what it has when it is stopped, and goes on from there the next time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a step ended."""

    name: str
    ending: str
    """`done`, `exit N`, `stopped` at the end of its time, `left out`, or why it did not start."""
    seconds: float


def limit_s(steps: Sequence[Step], index: int, left_s: float) -> float:
    """Return the seconds that the step at `index` may take of those that are left for it and all after it."""
    return left_s * steps[index].share / sum(step.share for step in steps[index:])


def run_steps(
    steps: Sequence[Step], *, minutes: float, say: Say, log: IO[str], grace_s: float = GRACE_S
) -> list[Outcome]:
    """Run every step, whatever becomes of those before; return how each ended.

    Args:
        steps: in order.
        minutes: for all of them, which is kept to.
        say: told of every start and end.
        log: gets what the steps print, as the terminal does.
        grace_s: of each step's time, for ending by itself after an interrupt.

    Raises:
        KeyboardInterrupt: by a person; the step that ran has been stopped.
    """
    end_s = time.monotonic() + 60 * minutes
    outcomes: list[Outcome] = []
    for i, step in enumerate(steps):
        may_s = limit_s(steps, i, max(0.0, end_s - time.monotonic()))
        head = f"[{i + 1}/{len(steps)}] {step.name}"
        if may_s < max(step.at_least_s, 1e-3):
            outcomes.append(Outcome(name=step.name, ending="left out", seconds=0.0))
            say(f"{head}: left out, {may_s:.0f} s are left for it and it takes {step.at_least_s:.0f}")
            continue
        say(f"{head}: {step.about}; {may_s:.0f} s at most")
        begun_s = time.monotonic()
        ending = _run(step.command, may_s, min(grace_s, may_s / 4), log)
        outcomes.append(Outcome(name=step.name, ending=ending, seconds=time.monotonic() - begun_s))
        say(f"{head}: {ending} after {outcomes[-1].seconds:.0f} s")
    return outcomes


def _run(command: Sequence[str], may_s: float, grace_s: float, log: IO[str]) -> str:
    """Run a command in a session of its own for `may_s` at most, the grace included; return how it ended."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as e:
        return f"did not start: {e}"
    assert process.stdout
    copying = threading.Thread(target=_copy, args=(process.stdout, log), daemon=True)
    ending = STOPPED
    try:
        copying.start()  # from here on an interrupt stops the step, and leaves it not running alone
        status = process.wait(may_s - grace_s)
        ending = f"exit {status}" if status else "done"
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    except KeyboardInterrupt:
        _signal(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        raise
    finally:
        _signal(process, signal.SIGKILL)
        process.wait()
        if copying.ident is not None:
            copying.join(1.0)
    return ending


def _copy(output: IO[bytes], log: IO[str]) -> None:
    """Hand on what a step prints, line by line."""
    for line in output:
        text = line.decode(errors="replace")
        with suppress(ValueError, OSError):  # a terminal that has gone ends no measurement
            sys.stdout.write(text)
            sys.stdout.flush()
        with suppress(ValueError, OSError):
            log.write(text)
            log.flush()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def say_to(log: IO[str]) -> Say:
    """Return a function that prints a line to the terminal and to a log, with the time of day."""

    def say(text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}\n"
        for stream in (sys.stdout, log):
            stream.write(line)
            stream.flush()

    return say


def slug(name: str) -> str:
    """Return a board's product name as a folder: `NVIDIA H200` is `h200`."""
    words = "".join(c if c.isalnum() else " " for c in name.lower()).split()
    return "-".join(word for word in words if word not in ("nvidia", "geforce")) or "gpu"


def rooted(path: Path, root: Path) -> str:
    """Return a path as one would type it in `root`."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
