"""Limits at which a comparison fails a build: `slower>2%`, `memory>5%`, `accuracy<-0.5`.

A gate compares the end of the interval with its limit, not the estimate, so that noise alone does not fail it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.visualize.judge.compare.comparison import Comparison
from ampbench.visualize.read.files import ResultsError

FORM = re.compile(r"\s*(?:(slower|memory)\s*>\s*(\d+(?:\.\d+)?)\s*%|(accuracy)\s*<\s*-\s*(\d+(?:\.\d+)?))\s*")
LEAST = {"slower": 1.0, "memory": 0.0, "accuracy": MARGIN_POINTS}
"""Smallest limits: all verdicts treat speeds within 1 %, and accuracies within the margin, as the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A limit on how much worse B may be than A."""

    text: str
    """As it was written."""
    quantity: str
    """`slower` or `memory`, in per cent of A, or `accuracy`, in points."""
    limit: float

    def breaks(self, comparison: Comparison) -> bool | None:
        """Return whether B is beyond the limit; None where the interval does not decide, or there is none."""
        if self.quantity == "accuracy":
            found = comparison.accuracy
            if found is None or found.low >= -self.limit:
                return None if found is None else False
            return True if found.high < -self.limit and found.verdict == "worse" else None
        if self.quantity == "slower":
            edge = 1 - self.limit / 100
            return True if comparison.speed.high < edge else False if comparison.speed.low >= edge else None
        edge, memory = 1 + self.limit / 100, comparison.memory
        if memory is None:
            return None
        return True if memory.low > edge else False if memory.high <= edge else None

    def why(self, comparison: Comparison) -> str:
        """Return the comparison and the number that the gate limits."""
        found = {"slower": comparison.speed, "memory": comparison.memory, "accuracy": comparison.accuracy}[
            self.quantity
        ]
        return f"{comparison.name} ({found or 'not measured'})"


def parse(text: str) -> Gate:
    """Read a gate: `slower>2%` means images/s of B below 98 % of A's, `memory>5%` a peak above 105 % of A's.

    Raises:
        ResultsError: the text has another form, or the limit is smaller than a verdict can show.
    """
    match = FORM.fullmatch(text)
    if not match:
        raise ResultsError(f"--fail-on {text}: write slower>2%, memory>5% or accuracy<-0.5 (points), in quotes")
    quantity, limit = match[1] or match[3], float(match[2] or match[4])
    if limit < LEAST[quantity] or (quantity == "slower" and limit >= 100):
        raise ResultsError(
            f"--fail-on {text}: {quantity} takes a limit from {LEAST[quantity]:g}"
            + (" to below 100 %, as speeds within 1 % are the same here" if quantity == "slower" else "")
            + (" points, as accuracies within it are equivalent here" if quantity == "accuracy" else "")
        )
    return Gate(text=text, quantity=quantity, limit=limit)
