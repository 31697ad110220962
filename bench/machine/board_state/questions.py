"""What a board is asked 20 times a second: the functions of NVML, and how their answers are converted.

The NVML API reference defines each quantity under its function; `BoardSample` has their units and meanings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Question = tuple[str, Callable[[Any], Any], str | None]
"""A function of NVML, the conversion of its answer, and the name of the constant that is its second argument."""


def _milli(answer: int) -> float:
    return answer / 1e3


def _time_ns(answer: Any) -> int:
    return int(answer.violationTime)


def _used(answer: Any) -> int:
    return int(answer.used)


# The energy counter comes first: at the border of a window its time matters most.
# fmt: off
QUESTIONS: dict[str, Question] = {
    "energy_j":                 ("nvmlDeviceGetTotalEnergyConsumption",    _milli,   None),
    "power_w":                  ("nvmlDeviceGetPowerUsage",                _milli,   None),
    "sm_clock_mhz":             ("nvmlDeviceGetClockInfo",                 int,      "NVML_CLOCK_SM"),
    "memory_clock_mhz":         ("nvmlDeviceGetClockInfo",                 int,      "NVML_CLOCK_MEM"),
    "clock_event_reasons":      ("nvmlDeviceGetCurrentClocksEventReasons", int,      None),
    "temperature_c":            ("nvmlDeviceGetTemperature",               int,      "NVML_TEMPERATURE_GPU"),
    "p_state":                  ("nvmlDeviceGetPerformanceState",          int,      None),
    "power_violation_ns":       ("nvmlDeviceGetViolationStatus",           _time_ns, "NVML_PERF_POLICY_POWER"),
    "thermal_violation_ns":     ("nvmlDeviceGetViolationStatus",           _time_ns, "NVML_PERF_POLICY_THERMAL"),
    "reliability_violation_ns": ("nvmlDeviceGetViolationStatus",           _time_ns, "NVML_PERF_POLICY_RELIABILITY"),
    "used_bytes":               ("nvmlDeviceGetMemoryInfo",                _used,    None),
}
# fmt: on
"""Field of a sample -> its question. The other fields are the time, and two of `PROCESSES`."""

OF_WHOLE_BOARD = ("energy_j", "power_w")
"""Not asked of a MIG slice: a driver that answers tells what the whole board draws, with the neighbours' work."""

# With the version: under an older driver, the name without it raises another error than NVMLError.
PROCESSES: Question = ("nvmlDeviceGetComputeRunningProcesses_v3", list, None)
"""The compute processes on the board."""
