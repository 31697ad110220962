"""The energy and the power that a board drew in windows of time.

Energy comes from the board's total-energy counter. Without one it is the integral of power, and the record says so,
since two instruments are never compared. On how often both are updated, and on power that is the mean of a second or
sensed only a quarter of the time: Yang, Adamek and Armour, 2024, "Accurate and Convenient Energy Measurements for
GPUs: A Detailed Study of NVIDIA GPU's Built-In Power Sensor", SC24, arXiv 2312.02741.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from ampbench.bench.machine.windows import (
    Samples,
    Window,
    integral,
    longest_standstill_s,
    points,
    rise,
    sum_where_known,
)

MIN_WINDOW_S = 1.0
"""The shortest window with an energy. At each border the counter is up to 100 ms old, so the energy of a window of w
seconds at constant power is off by at most 0.1 / w of itself: 10 % here, 2 % of a block of 5 s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Energy:
    """The energy that a board drew over some time."""

    energy_j: float
    idle_j: float | None
    """Energy that it would have drawn while idle; None where no idle window was sampled."""
    known_s: float
    """The part of the time for which the instrument has a value."""


def energy_instrument(samples: Samples) -> str | None:
    """Return `energy_counter` if the board has one, else `power_integral` if it reports its power, else None."""
    if any(sample.energy_j is not None for sample in samples):
        return "energy_counter"
    return "power_integral" if any(sample.power_w is not None for sample in samples) else None


def energy_j(samples: Samples, begin_s: float, end_s: float) -> float | None:
    """Return the energy that the board drew in a window, by `energy_instrument`; `MIN_WINDOW_S` states its error.

    Counter: its increase, interpolated linearly between the two samples around each border. None if it decreases, or
    is constant for `MIN_WINDOW_S`, ten times as long as the counter of a working board. Integral: trapezoids between
    samples and borders. None also for a window shorter than `MIN_WINDOW_S`, or with a gap where the instrument has to
    be known.
    """
    if end_s - begin_s < MIN_WINDOW_S:
        return None
    if energy_instrument(samples) == "power_integral":
        return integral(points(samples, lambda sample: sample.power_w, begin_s, end_s), begin_s, end_s)
    counter = points(samples, lambda sample: sample.energy_j, begin_s, end_s)
    return None if longest_standstill_s(counter) >= MIN_WINDOW_S else rise(counter, begin_s, end_s)


def mean_power_w(samples: Samples, begin_s: float, end_s: float) -> float | None:
    """Return the energy of a window over its length."""
    energy = energy_j(samples, begin_s, end_s)
    return None if energy is None else energy / (end_s - begin_s)


def energy_of(samples: Samples, windows: Iterable[Window], idle_power_w: float | None = None) -> Energy | None:
    """Add up the energy of windows, adjacent ones taken as one; None if it is known for too little of their time."""
    known = sum_where_known(windows, partial(energy_j, samples))
    if known is None:
        return None
    total_j, known_s = known
    idle_j = None if idle_power_w is None else idle_power_w * known_s
    return Energy(energy_j=total_j, idle_j=idle_j, known_s=known_s)
