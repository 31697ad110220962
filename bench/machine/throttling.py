"""What held a board's clocks down in windows of time, and which timing blocks therefore do not count.

A block does not count if the board protected itself, or if its SM clock was well below that of the cell's other blocks.
Other reasons for lower clocks are part of how the board runs under this load, and are only recorded.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

from ampbench.bench.machine.windows import (
    Quantity,
    Samples,
    Window,
    median,
    points,
    rise,
    sum_where_known,
    within,
    within_all,
)

MIN_CLOCK_SHARE = 0.9
"""Of the cell's median SM clock: a block with a lower mean does not count."""

# NVML API reference, NvmlClocksEventReasons (before, nvmlClocksThrottleReasons).
SLOWDOWNS = {
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
}
"""A block with one of these does not count: the board was protecting itself."""

TAGS = {
    0x002: "application clocks",
    0x004: "software power cap",
    0x010: "sync boost",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}
"""These are part of how the board runs under this load, or of its settings: a block counts, and the record names them.
The remaining bit, 0x01, means idle; it is also set between two kernels, so it is ignored."""

Limit = Literal["power", "thermal", "reliability"]
"""The limit on power, on the die's temperature, or on voltage."""

VIOLATIONS: dict[Limit, Quantity] = {
    "power": lambda sample: sample.power_violation_ns,
    "thermal": lambda sample: sample.thermal_violation_ns,
    "reliability": lambda sample: sample.reliability_violation_ns,
}
"""Limit -> the counter of the time for which it has held the clocks down."""


def violation_ns(samples: Samples, limit: Limit, begin_s: float, end_s: float) -> float | None:
    """Return the time in a window, in ns, for which a limit held the clocks down.

    The increase of nvmlDeviceGetViolationStatus's counter, interpolated like energy; None if it is absent or decreases.
    """
    return rise(points(samples, VIOLATIONS[limit], begin_s, end_s), begin_s, end_s)


def violation_share(samples: Samples, limit: Limit, windows: Iterable[Window]) -> float | None:
    """Return the share of the windows' time for which a limit held the clocks down."""
    known = sum_where_known(windows, partial(violation_ns, samples, limit))
    return None if known is None else known[0] / 1e9 / known[1]


def median_sm_clock(samples: Samples, windows: Iterable[Window]) -> float | None:
    """Return the median SM clock in MHz over the samples in the windows."""
    return median(sample.sm_clock_mhz for sample in within_all(samples, windows))


def why_invalid(samples: Samples, begin_s: float, end_s: float, median_sm_clock_mhz: float | None) -> str | None:
    """Return why a block's timing does not count, in words, or None.

    A sample in it names one of `SLOWDOWNS`, or its mean SM clock, which its speed follows, is under `MIN_CLOCK_SHARE`
    of the cell's own median.
    """
    inside = within(samples, begin_s, end_s)
    reasons = [sample.clock_event_reasons for sample in inside if sample.clock_event_reasons is not None]
    counts = {word: sum(bool(mask & bit) for mask in reasons) for bit, word in SLOWDOWNS.items()}
    because = [f"{word} in {count} of {len(reasons)} samples" for word, count in counts.items() if count]
    clocks = [sample.sm_clock_mhz for sample in inside if sample.sm_clock_mhz is not None]
    if clocks and median_sm_clock_mhz and (mhz := statistics.fmean(clocks)) < MIN_CLOCK_SHARE * median_sm_clock_mhz:
        limit = f"{100 * MIN_CLOCK_SHARE:.0f} % of the cell's median {median_sm_clock_mhz:,.0f} MHz"
        because.append(f"SM clock {mhz:,.0f} MHz, under {limit}")
    return "; ".join(because) or None


def why_each_invalid(samples: Samples, windows: Sequence[Window]) -> list[str | None]:
    """Return `why_invalid` of each window, by the median SM clock of all of them."""
    common_mhz = median_sm_clock(samples, windows)
    return [why_invalid(samples, begin_s, end_s, common_mhz) for begin_s, end_s in windows]


def tags(samples: Samples, begin_s: float, end_s: float) -> tuple[str, ...]:
    """Return what held the clocks down in a window without making it invalid: words of `TAGS`, in its order."""
    seen = 0
    for sample in within(samples, begin_s, end_s):
        seen |= sample.clock_event_reasons or 0
    return tuple(word for bit, word in TAGS.items() if seen & bit)
