"""What a GPU was doing while it was measured, as NVML tells it: clocks, power, temperature, what held it back.

`Sample` defines the quantities, `BoardReader` asks for them. They are asked from a process of their own, so that
neither the GIL nor a wait for the driver is billed to the training:

    python -m bench.machine.board_state GPU-5f2a… 4711

samples that board 20 times a second for the process 4711, until its standard input speaks or closes, or its parent is
gone.
It writes one line of JSON per sample, a list of the values of `Sample`'s fields in their order; where NVML does not
answer at all it writes one string, the reason, and ends. It starts in the time that Python takes: nothing
heavy is imported here.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from typing import Any

from ampbench.bench.machine.board_state.sample import FIELDS, PROCESSES, QUESTIONS, Question, Sample

__all__ = [
    "FIELDS",
    "PERIOD_S",
    "PROCESSES",
    "QUESTIONS",
    "BoardReader",
    "Sample",
    "Silent",
    "foreign_processes",
    "main",
    "next_tick_s",
    "sampling_command",
]

PERIOD_S = 0.05
"""20 Hz. A board's power sensor is updated every 20 to 100 ms (Yang et al., 2024, see power.py)."""


class Silent(Exception):
    """NVML does not answer for this board; the message says why."""


KIN = "beside"
"""Stands in the sampling command between the processes that are measured and those that are merely not foreign."""

FINAL = (
    "NVML_ERROR_NOT_SUPPORTED",
    "NVML_ERROR_NO_PERMISSION",
    "NVML_ERROR_FUNCTION_NOT_FOUND",
    "NVML_ERROR_INVALID_ARGUMENT",
)
"""Answers that will not change while the process lives. Any other error may pass, and the question is asked again."""


class BoardReader:
    """Asks one board. A question that it does not support or permit is asked once.

    A board that is lost (NVML_ERROR_GPU_IS_LOST) goes on being asked: from then on samples hold nothing but their
    time, which tells when it went.

    Args:
        board_id: UUID of a GPU, or of a MIG slice.
        own_pids: the processes that are measured on this board.
        kin_pids: those that are not foreign there either, as whoever started them; nothing of theirs is counted.
        nvml: stands in for pynvml in tests.
        now_s: stands in for the clock in tests.

    Raises:
        Silent: there is no pynvml, no driver or no such board.
    """

    def __init__(
        self,
        board_id: str,
        own_pids: Collection[int],
        nvml: Any = None,
        now_s: Callable[[], float] = time.perf_counter,
        kin_pids: Collection[int] = (),
    ) -> None:
        self._nvml = nvml or _pynvml()
        self._own_pids = frozenset(own_pids)
        self._kin_pids = frozenset(kin_pids) - self._own_pids
        self._now_s = now_s
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as e:
            raise Silent(f"NVML does not start: {e}") from None
        try:
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(board_id)
        except self._nvml.NVMLError as e:
            self.close()
            raise Silent(f"NVML has no board {board_id}: {e}") from None
        self._final = {getattr(self._nvml, name) for name in FINAL}
        self._given_up: set[Question] = set()

    def read(self) -> Sample:
        """Ask everything, once."""
        time_s = self._now_s()
        answers = {field: self._ask(question) for field, question in QUESTIONS.items()}
        processes = self.processes()
        if processes is not None:
            own = [process for process in processes if process.pid in self._own_pids]
            sizes = [process.usedGpuMemory for process in own]
            answers["process_bytes"] = sum(sizes) if sizes and None not in sizes else None
            others = [process for process in processes if process.pid not in self._kin_pids]
            answers["num_foreign"] = max(0, len(others) - max(1, len(own)))
        return Sample(time_s=time_s, **answers)

    def processes(self) -> list[Any] | None:
        """List the compute processes on the board, ours included; None where NVML does not say."""
        processes: list[Any] | None = self._ask(PROCESSES)
        return processes

    def foreign_processes(self, num_contexts: int = 0) -> list[str] | None:
        """Name the compute processes that are not our own, with their pids; None where NVML does not say.

        `num_contexts` of our own hold a CUDA context. NVML lists as many, though in many containers under pids of the
        host's, which nobody here can see: so many unseen ones may be ours.
        """
        processes = self.processes()
        if processes is None:
            return None
        foreign = [process for process in processes if process.pid not in self._own_pids]
        unlisted = num_contexts - (len(processes) - len(foreign))
        named = []
        for process in foreign:
            name = self._name(process.pid)
            if name is None and unlisted > 0:
                unlisted -= 1
            else:
                named.append(f"{name or 'a process that is not visible from here'} (pid {process.pid})")
        return named

    def close(self) -> None:
        """Let go of NVML."""
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()

    def _ask(self, question: Question) -> Any:
        if question in self._given_up:
            return None
        function, value, constant = question
        arguments = [getattr(self._nvml, constant)] if constant else []
        try:
            return value(getattr(self._nvml, function)(self._handle, *arguments))
        except self._nvml.NVMLError as e:
            if e.value in self._final:
                self._given_up.add(question)
            return None

    def _name(self, pid: int) -> str | None:
        try:
            name = self._nvml.nvmlSystemGetProcessName(pid)
        except self._nvml.NVMLError:
            return None
        return name.decode() if isinstance(name, bytes) else str(name)


def foreign_processes(
    board_id: str, own_pids: Collection[int], nvml: Any = None, num_contexts: int = 0
) -> list[str] | None:
    """Name the compute processes on a board that are not in `own_pids`; None where NVML does not say.

    For a launcher that has not started anything there. `num_contexts`: see `BoardReader.foreign_processes`.
    """
    try:
        reader = BoardReader(board_id, own_pids, nvml)
    except Silent:
        return None
    with closing(reader):
        return reader.foreign_processes(num_contexts)


def sampling_command(board_id: str, own_pids: Collection[int], kin_pids: Collection[int] = ()) -> list[str]:
    """Return the command line of the process that samples; it runs in the repository's root."""
    kin = [KIN, *map(str, kin_pids)] if kin_pids else []
    return [sys.executable, "-m", "ampbench.bench.machine.board_state", board_id, *map(str, own_pids), *kin]


def next_tick_s(begun_s: float, now_s: float) -> float:
    """Return the next deadline on the grid of `PERIOD_S` from `begun_s`: half a period away at least, so no busy-wait.

    Deadlines are absolute, so that the rate does not drift by the time a sample takes; missed ones are left out.
    """
    return begun_s + (math.floor((now_s - begun_s) / PERIOD_S + 0.5) + 1) * PERIOD_S


def main(arguments: Sequence[str], nvml: Any = None) -> None:
    """Sample the board `arguments[0]` for the processes that follow; the module's docstring has the protocol.

    After `KIN` come the processes that are neither measured nor foreign.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group: the worker says when to end
    stdin, stdout, parent = sys.stdin.fileno(), sys.stdout.fileno(), os.getppid()
    try:
        board_id, *words = arguments
        border = words.index(KIN) if KIN in words else len(words)
        own, kin = (frozenset(map(int, pids)) for pids in (words[:border], words[border + 1 :]))
        reader = BoardReader(board_id, own, nvml, kin_pids=kin)
    except Silent as e:
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
            unsent += reader.read().line.encode()
            # A pipe holds 16 s of samples; a worker that compiles for longer must not make gaps, so the rest waits
            # here. Once asked to stop, the worker reads until all is told.
            os.set_blocking(stdout, asked_to_stop)
            with suppress(BlockingIOError):
                unsent = unsent[os.write(stdout, unsent) :]


def _pynvml() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        raise Silent("pynvml is not installed: pip install nvidia-ml-py") from None
