"""A fake NVML that replays a trace: one row of a board's state for every 50 ms of a clock that only tests advance.

A value that is an error is raised, as pynvml would; a row that is an error is a board that does not answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pynvml

from ampbench.bench.machine.board_state.reader import BoardReader
from ampbench.bench.machine.board_state.sampling import PERIOD_S
from ampbench.schema.board import BoardSample

UUID, OWN_PID = "GPU-5f2a", 4711
GIB = 2**30
TOTAL_BYTES = 140 * GIB

H200: dict[str, Any] = {
    "energy_mj": None,  # follows from power
    "power_mw": 500_000,
    "sm_clock_mhz": 1755,
    "memory_clock_mhz": 3201,
    "reasons": 0,
    "temperature_c": 55,
    "p_state": 0,
    "power_ns": 0,
    "thermal_ns": 0,
    "reliability_ns": 0,
    "used_bytes": 11 * GIB,
    "processes": [(OWN_PID, 10 * GIB)],
}

NOT_SUPPORTED = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
NO_PERMISSION = pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
TIMEOUT = pynvml.NVMLError(pynvml.NVML_ERROR_TIMEOUT)
LOST = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

Row = dict[str, Any]
Trace = list[Row]


def board(num_rows: int, **changes: Any) -> Trace:
    """A constant board; without a given energy, it is that of the power, from 1 MJ on."""
    row = H200 | changes
    if row["energy_mj"] is not None:
        return [dict(row) for _ in range(num_rows)]
    return [row | {"energy_mj": round(1e9 + i * PERIOD_S * row["power_mw"])} for i in range(num_rows)]


def changed(trace: Trace, rows: slice, **changes: Any) -> Trace:
    """The same trace with other values in some rows."""
    chosen = set(range(*rows.indices(len(trace))))
    return [row | changes if i in chosen else row for i, row in enumerate(trace)]


def throttled(num_rows: int, rows: slice) -> Trace:
    """A board that slows down to 60 % for some rows, and reports it."""
    slowdown = pynvml.nvmlClocksEventReasonHwSlowdown | pynvml.nvmlClocksEventReasonHwThermalSlowdown
    return changed(board(num_rows), rows, sm_clock_mhz=1053, reasons=slowdown, temperature_c=90)


def mig(num_rows: int) -> Trace:
    """A MIG slice: memory and processes are its own; the rest belongs to the whole board and is not reported."""
    told = ("used_bytes", "processes")
    return [H200 | {field: NOT_SUPPORTED for field in H200 if field not in told} for _ in range(num_rows)]


def lost(num_rows: int, first: int) -> Trace:
    """A board that is lost from the bus."""
    return changed(board(num_rows), slice(first, None), **dict.fromkeys(H200, LOST))


class ReplayedNvml:
    """pynvml of one board, for `BoardReader`. An empty trace is a machine without a driver."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_CLOCK_MEM = pynvml.NVML_CLOCK_MEM
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    NVML_PERF_POLICY_POWER = pynvml.NVML_PERF_POLICY_POWER
    NVML_PERF_POLICY_THERMAL = pynvml.NVML_PERF_POLICY_THERMAL
    NVML_PERF_POLICY_RELIABILITY = pynvml.NVML_PERF_POLICY_RELIABILITY

    def __init__(self, trace: Sequence[Row], *, begin_s: float = 0.0) -> None:
        self.trace = trace
        self.begin_s = self.now = begin_s
        self.asked: Counter[str] = Counter()
        self.num_open = 0

    def now_s(self) -> float:
        return self.now

    def _told(self, key: str) -> Any:
        self.asked[key] += 1
        row = min(round((self.now - self.begin_s) / PERIOD_S), len(self.trace) - 1)
        value = self.trace[row][key]
        if isinstance(value, pynvml.NVMLError):
            raise value
        return value

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.trace:
            raise self.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        self.num_open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.num_open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in (UUID, "MIG-cc"):
            raise self.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        return self._told("energy_mj")

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return self._told("power_mw")

    def nvmlDeviceGetClockInfo(self, handle: str, clock: int) -> int:  # noqa: N802
        return self._told({self.NVML_CLOCK_SM: "sm_clock_mhz", self.NVML_CLOCK_MEM: "memory_clock_mhz"}[clock])

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:  # noqa: N802
        return self._told("reasons")

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        assert sensor == self.NVML_TEMPERATURE_GPU
        return self._told("temperature_c")

    def nvmlDeviceGetPerformanceState(self, handle: str) -> int:  # noqa: N802
        return self._told("p_state")

    def nvmlDeviceGetViolationStatus(self, handle: str, policy: int) -> Any:  # noqa: N802
        keys = {
            self.NVML_PERF_POLICY_POWER: "power_ns",
            self.NVML_PERF_POLICY_THERMAL: "thermal_ns",
            self.NVML_PERF_POLICY_RELIABILITY: "reliability_ns",
        }
        return SimpleNamespace(referenceTime=0, violationTime=self._told(keys[policy]))

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(used=self._told("used_bytes"), total=TOTAL_BYTES)

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in self._told("processes")]

    def nvmlSystemGetProcessName(self, pid: int) -> bytes:  # noqa: N802
        if pid >= 100_000:
            raise self.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return b"python"


def replay(
    trace: Trace, *, nvml: ReplayedNvml | None = None, own_pids: Sequence[int] = (OWN_PID,)
) -> list[BoardSample]:
    """The samples of a trace: one for every row, the first at 0 s."""
    nvml = nvml or ReplayedNvml(trace)
    reader = BoardReader(UUID, own_pids, nvml, nvml.now_s)
    samples = []
    for i in range(len(trace)):
        nvml.now = nvml.begin_s + i * PERIOD_S
        samples.append(reader.read())
    return samples
