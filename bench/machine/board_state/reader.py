"""Read one sample of a board's state, and list the other processes that compute on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import closing
from typing import Any

from ampbench.bench.machine.board_state.questions import OF_WHOLE_BOARD, PROCESSES, QUESTIONS, Question
from ampbench.bench.machine.nvml import Nvml, Unanswered, Unavailable
from ampbench.schema.board import BoardSample


class BoardReader:
    """Reads the state of one board. A question that the board does not support or permit is asked only once.

    A board that is lost (NVML_ERROR_GPU_IS_LOST) is still asked: from then on samples hold only their time, which
    tells when it was lost.

    Args:
        board_id: UUID of a GPU, or of a MIG slice.
        own_pids: the processes that are measured on this board.
        library: replaces NVML's bindings in tests.
        now_s: replaces the clock in tests.
        related_pids: processes that are not foreign either, such as the parent of `own_pids`; never counted.

    Raises:
        Unavailable: there are no bindings, no driver or no such board.
    """

    def __init__(
        self,
        board_id: str,
        own_pids: Collection[int],
        library: Any = None,
        now_s: Callable[[], float] = time.perf_counter,
        related_pids: Collection[int] = (),
    ) -> None:
        self._nvml = Nvml(library)
        self._own_pids = frozenset(own_pids)
        self._kin_pids = frozenset(related_pids) - self._own_pids
        self._now_s = now_s
        is_slice = board_id.startswith("MIG-")
        self._given_up: set[Question] = {QUESTIONS[field] for field in OF_WHOLE_BOARD if is_slice}
        try:
            self._handle = self._nvml.handle_of(board_id)
        except Unavailable:
            self.close()
            raise

    def read(self) -> BoardSample:
        """Ask every question once. A field without an answer of NVML is None, never 0.

        `time_s` is time.perf_counter() before the first question: CLOCK_MONOTONIC on Linux, the same in every process.
        `process_bytes` is None where NVML does not list our processes by the pids that they have here, as in many
        containers. There one of the listed processes may be ours under its pid on the host, so one is not counted in
        `num_foreign`: it has no false positives.
        """
        time_s = self._now_s()
        answers = {field: self._ask(question) for field, question in QUESTIONS.items()}
        processes = self.processes()
        if processes is not None:
            own = [process for process in processes if process.pid in self._own_pids]
            sizes = [process.usedGpuMemory for process in own]
            answers["process_bytes"] = sum(sizes) if sizes and None not in sizes else None
            others = [process for process in processes if process.pid not in self._kin_pids]
            answers["num_foreign"] = max(0, len(others) - max(1, len(own)))
        return BoardSample(time_s=time_s, **answers)

    def processes(self) -> list[Any] | None:
        """List the compute processes on the board, ours included; None where NVML does not answer."""
        processes: list[Any] | None = self._ask(PROCESSES)
        return processes

    def foreign_processes(self, num_contexts: int = 0) -> list[str] | None:
        """Name the compute processes that are not our own, with their pids; None where NVML does not answer.

        `num_contexts` of our processes hold a CUDA context, and NVML lists them. In many containers it lists them under
        their pids on the host, which are not visible here: so many invisible processes may be ours.
        """
        processes = self.processes()
        if processes is None:
            return None
        foreign = [process for process in processes if process.pid not in self._own_pids]
        unlisted = num_contexts - (len(processes) - len(foreign))
        named = []
        for process in foreign:
            name = self._nvml.ask_or_none("nvmlSystemGetProcessName", process.pid)
            if name is None and unlisted > 0:
                unlisted -= 1
            else:
                named.append(f"{name or 'a process that is not visible from here'} (pid {process.pid})")
        return named

    def close(self) -> None:
        """Close NVML."""
        self._nvml.close()

    def _ask(self, question: Question) -> Any:
        if question in self._given_up:
            return None
        function, value, constant = question
        try:
            return value(self._nvml.ask(function, self._handle, constant=constant))
        except Unanswered as e:
            if e.is_final:
                self._given_up.add(question)
            return None


def foreign_processes(
    board_id: str, own_pids: Collection[int], library: Any = None, num_contexts: int = 0
) -> list[str] | None:
    """Name the compute processes on a board that are not in `own_pids`; None where NVML does not answer.

    For a launcher that has not started a process there. `num_contexts`: see `BoardReader.foreign_processes`.
    """
    try:
        reader = BoardReader(board_id, own_pids, library)
    except Unavailable:
        return None
    with closing(reader):
        return reader.foreign_processes(num_contexts)
