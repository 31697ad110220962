"""Images are decoded in a separate process, so that this costs a cell neither time nor memory."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import threading
import traceback
from contextlib import nullcontext, suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from signal import SIGKILL
from typing import Any

from ampbench.bench.machine.board import Board
from ampbench.bench.machine.locks import hold_board
from ampbench.bench.machine.machine_lock import hold_machine
from ampbench.bench.plan.packages import advice
from ampbench.bench.store.image_cache import place_of
from ampbench.bench.train.images.images import prepare_images

NETWORK_S = 60.0
"""Timeout of a download: by default a dead network is waited for without a limit."""


def prepare_for_launcher(data: str, image_size: int, board: Board, messages: Connection) -> None:
    """Entry of a forked process: decode a data set, and report its progress and its result.

    Its messages are dictionaries with `done` and `of` (images of a folder), with `holder` (of the board that it waits
    for) or, at the end, with `because`: None, or why the data cannot be used. It holds the locks of the
    CPU and of the machine, like a cell.
    """
    os.setsid()
    die_with_parent()
    socket.setdefaulttimeout(NETWORK_S)
    if not sys.stderr.isatty():  # a download's bar, Pillow's warnings
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    try:
        _hold_and_prepare(data, image_size, board, messages)
    except ValueError as e:
        messages.send({"because": str(e)})
    except Exception as e:
        traceback.print_exc()
        messages.send({"because": f"{type(e).__name__}: {' '.join(str(e).split())}{advice(e)}"})
    else:
        messages.send({"because": None})


def _hold_and_prepare(data: str, image_size: int, board: Board, messages: Connection) -> None:
    def waits(holder: str) -> None:
        messages.send({"holder": holder})

    def tell(done: int, num_images: int) -> None:
        messages.send({"done": done, "of": num_images})

    owner = f"preparing {data}"
    holding: Any = nullcontext() if board.is_gpu else hold_board(board, owner, waits)
    with hold_machine(owner, waits, exclusive=False), holding:
        prepare_images(data, image_size, tell)


def prepare_apart(data: str, image_size: int) -> None:
    """Decode a data set in a forked process unless it is in the cache; errors are raised when it is loaded.

    The launcher did this before the first cell, but the data may have changed since.
    """
    with suppress(ValueError):
        if not place_of(data, image_size).is_ready:
            process = multiprocessing.get_context("fork").Process(target=_prepare_quietly, args=(data, image_size))
            process.start()
            process.join()


def _prepare_quietly(data: str, image_size: int) -> None:
    with suppress(ValueError):
        prepare_images(data, image_size)


def die_with_parent() -> None:
    """Kill this process and all it started when the launcher ends, however it ends.

    PR_SET_PDEATHSIG is not enough: for the kernel the parent is the fork server, which lives as long as a worker holds
    the pipe on which it listens.
    """
    parent = parent_process()
    assert parent is not None, "a forked process has a parent"

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
