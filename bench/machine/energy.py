"""What a board's samples say about windows of time: energy, what held the clocks back, which blocks do not count.

Arithmetic only: no NVML, no torch. A sample has the fields of `bench.machine.board_state.Sample`, each of which may
be None; samples are in order of time. A window is (begin_s, end_s) on the samples' clock: that of a timing block.

Energy comes from the board's total-energy counter. Without one it is the integral of power, and the record says so,
since two instruments are never compared. How often either is updated, and that power may be the mean of a second or
sensed in a quarter of the time only: Yang, Adamek and Armour, 2024, "Accurate and Convenient Energy Measurements for
GPUs: A Detailed Study of NVIDIA GPU's Built-In Power Sensor", SC24, arXiv 2312.02741.
"""

from __future__ import annotations

import itertools
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

Samples = Sequence[Any]
Window = tuple[float, float]
Points = list[tuple[float, float]]
"""(time_s, value)."""

MIN_WINDOW_S = 1.0
"""The shortest window with an energy. At each border the counter is up to 100 ms old, so the energy of a window of w
seconds at even power is off by at most 0.1 / w of itself: 10 % here, 2 % of a block of 5 s."""

MAX_GAP_S = 0.5
"""Between two samples: what happened in a longer gap is not known, and nothing is interpolated across it."""

MIN_TOLD_SHARE = 0.5
"""Of the windows' time: a mean over less of it is null."""

MIN_CLOCK_SHARE = 0.9
"""Of the cell's median SM clock: a block with a lower mean does not count."""

# NVML API reference, NvmlClocksEventReasons (as nvmlClocksEventReason… and nvmlClocksThrottleReason… in pynvml).
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
"""These are how the board runs under this load, or was set up; a block keeps its place and the record names them. The
remaining bit, 0x01, says idle: between two kernels too, so it says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """What a board drew over some time."""

    energy_j: float
    idle_j: float | None
    """What it would have drawn idle; None where no idle window was sampled."""
    told_s: float
    """The time that the instrument could tell of."""


def energy_instrument(samples: Samples) -> str | None:
    """Return `energy_counter` if the board has one, else `power_integral` if it tells its power, else None."""
    if any(sample.energy_j is not None for sample in samples):
        return "energy_counter"
    return "power_integral" if any(sample.power_w is not None for sample in samples) else None


def energy_j(samples: Samples, begin_s: float, end_s: float) -> float | None:
    """Return the energy that the board drew in a window, by `energy_instrument`; `MIN_WINDOW_S` has its error.

    Counter: its rise, interpolated linearly between the two samples around each border. None if it goes backwards or
    stands still for `MIN_WINDOW_S`: no board draws nothing. Integral: trapezoids between samples and borders.
    None too for a window shorter than `MIN_WINDOW_S`, or with a gap where the instrument has to be known.
    """
    if end_s - begin_s < MIN_WINDOW_S:
        return None
    if energy_instrument(samples) == "power_integral":
        return _integral(_known(samples, "power_w", begin_s, end_s), begin_s, end_s)
    counter = _known(samples, "energy_j", begin_s, end_s)
    return None if _stands_still(counter) else _rise(counter, begin_s, end_s)


def mean_power_w(samples: Samples, begin_s: float, end_s: float) -> float | None:
    """Return the energy of a window over its length."""
    energy = energy_j(samples, begin_s, end_s)
    return None if energy is None else energy / (end_s - begin_s)


def energy_of(samples: Samples, windows: Iterable[Window], idle_power_w: float | None = None) -> Energy | None:
    """Add up the energy of windows, those that touch taken as one; None if it is told for too little of their time."""
    told = _told(spans(windows), partial(energy_j, samples))
    if told is None:
        return None
    total_j, told_s = told
    idle_j = None if idle_power_w is None else idle_power_w * told_s
    return Energy(energy_j=total_j, idle_j=idle_j, told_s=told_s)


def violation_ns(samples: Samples, limit: str, begin_s: float, end_s: float) -> float | None:
    """Return the time in a window, in ns, for which a limit held the clocks down: `power`, `thermal` or `reliability`.

    nvmlDeviceGetViolationStatus's counter, its rise interpolated as energy is; None if it is absent or goes backwards.
    """
    return _rise(_known(samples, f"{limit}_violation_ns", begin_s, end_s), begin_s, end_s)


def violation_share(samples: Samples, limit: str, windows: Iterable[Window]) -> float | None:
    """Return the share of the windows' time for which a limit held the clocks down."""
    told = _told(spans(windows), partial(violation_ns, samples, limit))
    return None if told is None else told[0] / 1e9 / told[1]


def median_sm_clock(samples: Samples, windows: Iterable[Window]) -> float | None:
    """Return the median SM clock in MHz over the samples in the windows."""
    return _median(sample.sm_clock_mhz for sample in _inside(samples, windows))


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
    """Return `why_invalid` of each window, by the median SM clock of them all."""
    median = median_sm_clock(samples, windows)
    return [why_invalid(samples, begin_s, end_s, median) for begin_s, end_s in windows]


def tags(samples: Samples, begin_s: float, end_s: float) -> tuple[str, ...]:
    """Return what held the clocks down in a window without making it invalid: words of `TAGS`, in its order."""
    seen = 0
    for sample in within(samples, begin_s, end_s):
        seen |= sample.clock_event_reasons or 0
    return tuple(word for bit, word in TAGS.items() if seen & bit)


def summary(
    samples: Samples, windows: Sequence[Window], num_images: Sequence[int], idle_window: Window | None = None
) -> dict[str, Any]:
    """Condense a cell's samples into columns of the record; null where they do not tell, all of them without any.

    Power and energy are over the blocks that count, the rest over all of them. Energy per image is mean power times
    the blocks' time per image, so stretches too short for the instrument are taken at the mean.

    Args:
        samples: of the whole run, one at least before and one after the windows.
        windows: of the steady blocks, in order.
        num_images: of each of these blocks.
        idle_window: in which the board held the warm context and did nothing.
    """
    inside = _inside(samples, windows)
    if not inside:
        return {}
    invalid = why_each_invalid(samples, windows)
    counted = [window for window, why in zip(windows, invalid, strict=True) if why is None]
    images = sum(n for n, why in zip(num_images, invalid, strict=True) if why is None)
    energy = energy_of(samples, counted, mean_power_w(samples, *idle_window) if idle_window else None)
    power_w = energy.energy_j / energy.told_s if energy else None
    joules = power_w * _seconds(counted) / images if power_w and images else None
    clocks_known = any(s.sm_clock_mhz is not None for s in inside)
    reasons_known = any(s.clock_event_reasons is not None for s in inside)
    words = [word for window in spans(windows) for word in tags(samples, *window)]
    return {
        "sm_clock_mhz": _median(s.sm_clock_mhz for s in inside),
        "memory_clock_mhz": _median(s.memory_clock_mhz for s in inside),
        "temperature_c": _max(s.temperature_c for s in inside),
        "power_w": power_w,
        "energy_instrument": energy_instrument(samples) if energy else None,
        "joules_per_image": joules,
        "images_per_joule": 1 / joules if joules else None,
        "idle_share": energy.idle_j / energy.energy_j if energy and energy.idle_j is not None else None,
        "power_violation_share": violation_share(samples, "power", windows),
        "thermal_violation_share": violation_share(samples, "thermal", windows),
        "reliability_violation_share": violation_share(samples, "reliability", windows),
        "num_invalid_blocks": sum(why is not None for why in invalid) if clocks_known or reasons_known else None,
        "clock_tags": (", ".join(dict.fromkeys(words)) or "none") if reasons_known else None,
        "foreign_processes": _max(s.num_foreign for s in inside),
        "nvml_process_bytes": _max(s.process_bytes for s in inside),
    }


def within(samples: Samples, begin_s: float, end_s: float) -> Samples:
    """Return the samples taken in a window, its borders included."""
    time_s = attrgetter("time_s")
    return samples[bisect_left(samples, begin_s, key=time_s) : bisect_right(samples, end_s, key=time_s)]


def spans(windows: Iterable[Window]) -> list[Window]:
    """Join windows that touch, to a millisecond: the blocks of an epoch, each of which may be short."""
    joined: list[Window] = []
    for begin_s, end_s in windows:
        if joined and begin_s - joined[-1][1] < 1e-3:
            joined[-1] = (joined[-1][0], end_s)
        else:
            joined.append((begin_s, end_s))
    return joined


def _inside(samples: Samples, windows: Iterable[Window]) -> list[Any]:
    return [sample for window in spans(windows) for sample in within(samples, *window)]


def _told(windows: Sequence[Window], measure: Callable[[float, float], float | None]) -> tuple[float, float] | None:
    """Add up a measure over the windows where it is known; with it their seconds. None if that is too little."""
    known = [(value, end_s - begin_s) for begin_s, end_s in windows if (value := measure(begin_s, end_s)) is not None]
    told_s = sum(length_s for _, length_s in known)
    if not known or told_s < MIN_TOLD_SHARE * _seconds(windows):
        return None
    return sum(value for value, _ in known), told_s


def _known(samples: Samples, field: str, begin_s: float, end_s: float) -> Points:
    """Return when a field is known, and its value, from `MAX_GAP_S` before a window to as long after it."""
    around = within(samples, begin_s - MAX_GAP_S, end_s + MAX_GAP_S)
    return [(sample.time_s, value) for sample in around if (value := getattr(sample, field)) is not None]


def _at(points: Points, time_s: float) -> float | None:
    """Interpolate linearly; None beyond the first and the last point, and in a gap."""
    i = bisect_left(points, time_s, key=itemgetter(0))
    if i < len(points) and points[i][0] == time_s:
        return points[i][1]
    if i in (0, len(points)):
        return None
    (t0, v0), (t1, v1) = points[i - 1], points[i]
    return None if t1 - t0 > MAX_GAP_S else v0 + (v1 - v0) * (time_s - t0) / (t1 - t0)


def _rise(counter: Points, begin_s: float, end_s: float) -> float | None:
    """Return by how much a counter rose; None if it is not known at a border, or went backwards: it was reset."""
    before, after = _at(counter, begin_s), _at(counter, end_s)
    if before is None or after is None or any(v1 < v0 for (_, v0), (_, v1) in itertools.pairwise(counter)):
        return None
    return after - before


def _stands_still(counter: Points) -> bool:
    """Whether a counter keeps a value for `MIN_WINDOW_S`, ten times as long as a sound one may."""
    stretches = (list(same) for _, same in itertools.groupby(counter, key=itemgetter(1)))
    return any(stretch[-1][0] - stretch[0][0] >= MIN_WINDOW_S for stretch in stretches)


def _integral(power: Points, begin_s: float, end_s: float) -> float | None:
    """Return the area under samples of power, by trapezoids; None if it is not known at a border, or has a gap."""
    first, last = _at(power, begin_s), _at(power, end_s)
    if first is None or last is None:
        return None
    curve = [(begin_s, first), *((t, v) for t, v in power if begin_s < t < end_s), (end_s, last)]
    steps = [(t1 - t0, (v0 + v1) / 2) for (t0, v0), (t1, v1) in itertools.pairwise(curve)]
    return None if max(steps)[0] > MAX_GAP_S else sum(length_s * mean_w for length_s, mean_w in steps)


def _seconds(windows: Iterable[Window]) -> float:
    return sum(end_s - begin_s for begin_s, end_s in windows)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _max(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
