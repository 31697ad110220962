"""The minutes of an advice: what is left of them, and what a stage may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Counts from its making."""

    minutes: float
    reserved_s: float = 0.0
    """At the end, for what no stage does: the answer and its page."""
    now_s: Callable[[], float] = time.monotonic
    begun_s: float = field(default=0.0)

    @classmethod
    def started(cls, minutes: float, now_s: Callable[[], float] = time.monotonic, *, reserved_s: float = 0.0) -> Clock:
        """Return a clock that counts from now."""
        return cls(minutes=minutes, reserved_s=reserved_s, now_s=now_s, begun_s=now_s())

    @property
    def used_s(self) -> float:
        """Seconds since the start."""
        return self.now_s() - self.begun_s

    @property
    def left_s(self) -> float:
        """Seconds of the given minutes that are left to the stages; 0 if they are over."""
        return max(0.0, 60 * self.minutes - self.reserved_s - self.used_s)
