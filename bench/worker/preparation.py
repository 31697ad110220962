"""Images decoded in a process of its own, so that they cost a cell neither time nor memory."""

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
from ampbench.bench.plan.packages import advice
from ampbench.bench.store.image_cache import place_of
from ampbench.bench.train.images import prepare_images

NETWORK_S = 60.0
"""That a server may be silent in a download: by default a dead network is waited for as long as it likes."""


def prepare_for_launcher(data: str, image_size: int, board: Board, messages: Connection) -> None:
    """Entry of a forked process: decode a data set, and say how far it is and how it ended.

    Its messages are tables with `done` and `of` (images of a folder), `holder` (of the board that it waits for), or, at
    the end, `because`: None, or why the data cannot be used. The CPU is held meanwhile, as by a cell.
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

    holding: Any = nullcontext() if board.is_gpu else hold_board(board, f"preparing {data}", waits)
    with holding:
        prepare_images(data, image_size, tell)


def prepare_apart(data: str, image_size: int) -> None:
    """Decode a data set in a copy of this process unless it is there; what is wrong with it is said when it is loaded.

    The launcher has done it before the first cell, but the data may have changed since.
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

    PR_SET_PDEATHSIG would not do: the parent in the kernel's eyes is the fork server, and that lives for as
    long as a worker holds the pipe it listens on.
    """
    parent = parent_process()
    assert parent is not None, "a forked process has a parent"

    def watch() -> None:
        wait([parent.sentinel])
        os.killpg(0, SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
