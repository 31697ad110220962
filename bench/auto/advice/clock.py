"""The minutes of an advice: what is left of them, and what a stage may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Counts from its making."""

    minutes: float
    now_s: Callable[[], float] = time.monotonic
    begun_s: float = field(default=0.0)

    @classmethod
    def started(cls, minutes: float, now_s: Callable[[], float] = time.monotonic) -> Clock:
        """Return a clock that counts from now."""
        return cls(minutes=minutes, now_s=now_s, begun_s=now_s())

    @property
    def used_s(self) -> float:
        """Seconds since the start."""
        return self.now_s() - self.begun_s

    @property
    def left_s(self) -> float:
        """Seconds of the given minutes that are left; 0 if they are over."""
        return max(0.0, 60 * self.minutes - self.used_s)
