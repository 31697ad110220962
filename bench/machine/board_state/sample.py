"""What is asked of a board, and the answers: the quantities, and the functions of NVML that tell them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One look at a board. A field is None where NVML does not support, permit or manage to answer, never 0.

    The NVML API reference defines each quantity under the function in `QUESTIONS`.
    """

    time_s: float
    """time.perf_counter() before the first question: CLOCK_MONOTONIC on Linux, the same in every process."""
    energy_j: float | None = None
    """Since the driver was loaded. The counter moves in steps of up to 100 ms."""
    power_w: float | None = None
    """Of the whole board; the mean of the last second on Ampere and newer, but for GA100."""
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    clock_event_reasons: int | None = None
    """Bit mask of what holds the clocks down at this moment."""
    temperature_c: int | None = None
    """Of the die."""
    p_state: int | None = None
    """0 is the fastest performance state, 15 the slowest."""
    power_violation_ns: int | None = None
    """Time for which the power cap has held the clocks down, since the driver was loaded."""
    thermal_violation_ns: int | None = None
    """Likewise, the thermal limit."""
    reliability_violation_ns: int | None = None
    """Likewise, the limit on voltage."""
    used_bytes: int | None = None
    """Memory of the board in use, by everybody, the driver's own reserve included."""
    process_bytes: int | None = None
    """Memory that the own processes use, CUDA's context included; None where NVML does not list them by the pids they
    know themselves by, as in many containers."""
    num_foreign: int | None = None
    """Compute processes on the board that are not our own. Where none of ours is listed, one of those listed may be
    ours under a pid of the host's, and is not counted: with that, no alarm is false."""

    @property
    def line(self) -> str:
        """The line that `decoded` reads."""
        return json.dumps(astuple(self)) + "\n"

    @classmethod
    def decoded(cls, values: Sequence[Any]) -> Sample:
        """Return the sample that a line holds, its JSON parsed."""
        return cls(**dict(zip(FIELDS, values, strict=True)))


FIELDS = tuple(field.name for field in fields(Sample))


Question = tuple[str, Callable[[Any], Any], str | None]
"""A function of NVML, what becomes of its answer, and the name of the constant that is its second argument."""


def _milli(answer: int) -> float:
    return answer / 1e3


def _time_ns(answer: Any) -> int:
    return int(answer.violationTime)


def _used(answer: Any) -> int:
    return int(answer.used)


# The energy counter comes first: at a border of a window its moment counts most.
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

# By its version: the plain name raises what is no NVMLError where the driver is older than pynvml.
PROCESSES: Question = ("nvmlDeviceGetComputeRunningProcesses_v3", list, None)
