"""Data made ready before the first cell: decoded once for all, its errors said once, and shown while it is done."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ampbench.bench.launch.local.fork_server import start_process
from ampbench.bench.launch.shown.progress import PLAIN
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.image_cache import place_of


def prepare_data(
    cells: Iterable[Cell], board: Board, context: ForkServerContext, console: Console, *, log_every_s: float
) -> None:
    """Decode the images of all cells that are not decoded yet, each data set in a process of its own.

    Args:
        cells: those that are to be run.
        board: the one that a cell would run on; the CPU is held meanwhile.
        context: of `fork_server.start_fork_server`.
        console: shows how far it is.
        log_every_s: between two lines where it is no terminal.

    Raises:
        RequestError: data cannot be used; all that is wrong with any of it is in the message.
        KeyboardInterrupt: what is decoded is kept.
    """
    refused = []
    for data, image_size in dict.fromkeys((cell.data, cell.image_size) for cell in cells):
        try:
            if place_of(data, image_size).is_ready:
                continue
            because = _prepare(data, image_size, board, context, Shown(console, data, image_size, log_every_s))
        except ValueError as e:
            because = str(e)
        if because:
            refused.append(because if because.startswith("data = ") else f"data = '{data}': {because}")
    if refused:
        raise RequestError("\n".join(dict.fromkeys(refused)))


class Shown:
    """How far a data set is: a live line on a terminal, else a line now and then. Nothing if it takes no time."""

    def __init__(self, console: Console, data: str, image_size: int, log_every_s: float) -> None:
        self.console = console
        self.what = f"preparing {data} at {image_size}x{image_size}"
        self.every_s = 1.0 if console.is_terminal else log_every_s
        self.live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self.begun_s = self.shown_s = time.monotonic()

    def told(self, facts: dict[str, Any]) -> None:
        """Show what the process said."""
        if "holder" in facts:
            self.console.print(f"{self.what}: waiting for the CPU, held by {facts['holder']}", **PLAIN)
        elif facts.get("done") and time.monotonic() - self.shown_s >= self.every_s:
            self.shown_s = time.monotonic()
            passed_s = self.shown_s - self.begun_s
            left_s = passed_s / facts["done"] * (facts["of"] - facts["done"])
            line = f"{self.what}: {facts['done']:,} of {facts['of']:,} images, about {left_s:,.0f} s to go"
            if self.live:
                self.live.update(Text(line), refresh=True)
            else:
                self.console.print(line, **PLAIN)


def _prepare(data: str, image_size: int, board: Board, context: ForkServerContext, shown: Shown) -> str | None:
    process, messages = start_process(context, _decode, data, image_size, board)
    if shown.live:
        shown.live.start()
    try:
        while True:
            facts = messages.recv()
            if "because" in facts:
                because: str | None = facts["because"]
                return because
            shown.told(facts)
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = " (the kernel does this when memory runs out)" if code == -signal.SIGKILL else ""
        return f"the process that prepares it {how}{hint}; what is decoded is kept, and the same command goes on"
    finally:
        if shown.live:
            shown.live.stop()
        _end(process, messages)


def _end(process: ForkServerProcess, messages: Connection) -> None:
    messages.close()
    pid = process.pid
    with suppress(ProcessLookupError, PermissionError):
        if pid is not None and process.is_alive() and os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
    process.kill()
    process.join()


def _decode(data: str, image_size: int, board: Board, messages: Connection) -> None:
    """Run in a process of the fork server's, where the import finds what that has loaded."""
    from ampbench.bench.worker.preparation import prepare_for_launcher

    prepare_for_launcher(data, image_size, board, messages)
