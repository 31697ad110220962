"""The process that samples a board: its command line, its rate and its loop.

    python -m ampbench.bench.machine.board_state GPU-5f2a… 4711 beside 4700

samples that board 20 times a second for the process 4711, until its standard input gets a line or is closed, or until
its parent has ended. The process 4700 may compute there too: it is neither measured nor foreign.

It writes one line of JSON per sample, a list of the values of the fields of `BoardSample` in their order. Where NVML
does not answer at all, it writes one string, the reason, and ends. It imports nothing heavy, so that it starts as fast
as Python does.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from typing import Any

from ampbench.bench.machine.board_state.line import encoded
from ampbench.bench.machine.board_state.reader import BoardReader
from ampbench.bench.machine.nvml import Unavailable

PERIOD_S = 0.05
"""20 Hz. A board's power sensor is updated every 20 to 100 ms (Yang et al., 2024, see energy.py)."""

RELATED = "beside"
"""Separates, in the command line, the processes that are measured from those that are only not foreign."""


def sampling_command(board_id: str, own_pids: Collection[int], related_pids: Collection[int] = ()) -> list[str]:
    """Return the command line of the sampling process; it runs in the repository's root."""
    related = [RELATED, *map(str, related_pids)] if related_pids else []
    return [sys.executable, "-m", "ampbench.bench.machine.board_state", board_id, *map(str, own_pids), *related]


def next_tick_s(begun_s: float, now_s: float) -> float:
    """Return the next deadline on the grid of `PERIOD_S` from `begun_s`: at least half a period away: no busy-wait.

    Deadlines are absolute, so that the duration of a sample does not change the rate; missed deadlines are skipped.
    """
    return begun_s + (math.floor((now_s - begun_s) / PERIOD_S + 0.5) + 1) * PERIOD_S


def main(arguments: Sequence[str], library: Any = None) -> None:
    """Sample the board `arguments[0]` for the processes that follow; the module's docstring defines the protocol."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the worker ends this process
    stdin, stdout, parent = sys.stdin.fileno(), sys.stdout.fileno(), os.getppid()
    try:
        board_id, *words = arguments
        border = words.index(RELATED) if RELATED in words else len(words)
        own, related = (frozenset(map(int, pids)) for pids in (words[:border], words[border + 1 :]))
        reader = BoardReader(board_id, own, library, related_pids=related)
    except Unavailable as e:
        print(json.dumps(str(e)), flush=True)
        return
    begun_s, unsent, asked_to_stop = time.perf_counter(), b"", False
    with closing(reader), suppress(BrokenPipeError):
        while not asked_to_stop:
            now_s = time.perf_counter()
            asked_to_stop = bool(select.select([stdin], [], [], next_tick_s(begun_s, now_s) - now_s)[0])
            # A process that the worker forked may hold our standard input open after the worker has died.
            if os.getppid() != parent:
                return
            unsent += encoded(reader.read()).encode()
            # A pipe holds 16 s of samples; a worker that compiles for longer must not cause gaps, so the rest waits
            # here. After it has asked to stop, the worker reads until the end.
            os.set_blocking(stdout, asked_to_stop)
            with suppress(BlockingIOError):
                unsent = unsent[os.write(stdout, unsent) :]
