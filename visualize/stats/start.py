"""The verdict on the start of a training: from losses to an estimate, a margin and a verdict, without frames or files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StartVerdict = Literal["no harm seen", "harmful", "can't tell"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Training loss of a recipe minus that of the reference, over the last tenth of the first steps."""

    verdict: StartVerdict
    num_steps: int
    """Steps that both took, in every pair."""
    estimate: float
    """Mean over the pairs; NaN without a pair."""
    low: float
    high: float
    """One-sided limits at `1 - alpha` each; NaN with fewer than two pairs."""
    margin: float
    """The reference's own spread over its seeds; NaN where it cannot be known."""
    n: int
    """Pairs: seeds, of which both recipes saw the same images from the same weights."""
    fall: float
    """Loss that the reference lost on the way: mean over the first tenth minus that over the last."""
    from_step: int | None = None
    """Step from which the recipe stays beyond the margin, or has a loss that is not finite; None without harm."""
    because: str = ""
    """Why nothing can be told, or how it does harm, in words; empty where the numbers say it."""

    def __str__(self) -> str:
        if self.verdict == "harmful":
            return f"harmful from step {self.from_step}" + (f" ({self.because})" if self.because else "")
        if self.verdict == "no harm seen":
            return f"no harm seen in {self.num_steps} steps"
        return f"can't tell from {self.num_steps} steps" + (f" ({self.because})" if self.because else "")
