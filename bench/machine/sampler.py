"""The worker's end of the pipe to a sampling process, whatever that process samples.

    with Sampler(sampling_command(board_id, [os.getpid()]), decoded) as sampler:
        ...
        samples += sampler.drain()      # at every block's border: a read that never waits
        ...
        samples += sampler.stop()       # the rest

The process ends when its standard input gets a line, at `stop`, or is closed, when the worker dies, however it dies. It
writes a line of JSON per sample, or a string that says why it has none.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar

from ampbench.path import ROOT

S = TypeVar("S")


MAX_STOP_S = 2.0
"""Longest wait for the last samples; then the process is killed."""


class Sampler(Generic[S]):
    """Starts a sampling process and collects its samples. Raises nothing: `why_no_samples` says what failed.

    Args:
        command: command line of the process, which runs in the repository's root.
        decode: returns the sample of a line's JSON.
    """

    def __init__(self, command: Sequence[str], decode: Callable[[Any], S]) -> None:
        self.command = command
        self.decode = decode
        self.why_no_samples: str | None = None
        """Why there are no samples, or no further ones."""
        self._process: subprocess.Popen[bytes] | None = None
        self._partial = b""

    def start(self) -> None:
        """Start the process; does not wait for it."""
        try:
            self._process = subprocess.Popen(
                self.command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        except OSError as e:
            self.why_no_samples = f"the sampler did not start: {e}"
        else:
            os.set_blocking(self._stdout(self._process), False)

    def drain(self) -> list[S]:
        """Return the samples that have arrived since the last call. Never waits: costs 2 us, and 10 us per sample."""
        return self._read(self._process)[0] if self._process else []

    def stop(self) -> list[S]:
        """End the process and return the rest: the last sample is later than this call. Waits at most `MAX_STOP_S`."""
        process, self._process = self._process, None
        if process is None:
            return []
        assert process.stdin
        assert process.stdout
        with suppress(OSError):  # it may have ended; closing is not enough: a fork of the worker may hold the pipe open
            process.stdin.write(b"\n")
        process.stdin.close()
        samples: list[S] = []
        deadline_s, at_end = time.monotonic() + MAX_STOP_S, False
        come = select.poll()
        come.register(process.stdout, select.POLLIN)
        while not at_end and (left_s := deadline_s - time.monotonic()) > 0:
            come.poll(1e3 * left_s)
            rest, at_end = self._read(process)
            samples += rest
        process.stdout.close()
        try:
            status = process.wait(max(0.0, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()  # without a wait: a process inside a hanging driver dies only when the driver returns
            self.why_no_samples = self.why_no_samples or f"the sampler did not end in {MAX_STOP_S:.0f} s and was killed"
        else:
            if status:
                died = f"the sampler died with exit status {status}; the log has more"
                self.why_no_samples = self.why_no_samples or died
        return samples

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _read(self, process: subprocess.Popen[bytes]) -> tuple[list[S], bool]:
        """Return the samples that have arrived, and whether the pipe is at its end."""
        at_end = False
        with suppress(BlockingIOError):
            while chunk := os.read(self._stdout(process), 1 << 16):
                self._partial += chunk
            at_end = True
        *lines, self._partial = self._partial.split(b"\n")
        samples: list[S] = []
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:
                said = f"the sampler wrote {line[:80]!r}"
            if isinstance(said, str):
                self.why_no_samples = said
            else:
                samples.append(self.decode(said))
        return samples, at_end

    @staticmethod
    def _stdout(process: subprocess.Popen[bytes]) -> int:
        assert process.stdout
        return process.stdout.fileno()


class NoSampler(Generic[S]):
    """Used where there is nothing to sample, as on a CPU: it has no samples and no error."""

    why_no_samples: str | None = None

    def start(self) -> None:
        """Do nothing."""

    def drain(self) -> list[S]:
        """Return nothing."""
        return []

    def stop(self) -> list[S]:
        """Return nothing."""
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass
