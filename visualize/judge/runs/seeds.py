"""A comparison of accuracies seed by seed: a mean near 0 may hide that one seed lost what another gained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ampbench.schema.margins import RUN_SD_POINTS

SURE = 4.0
"""Standard deviations of a difference of two equal trainings beyond the margin, from which one seed alone shows harm:
among 1,000 seeds of equal recipes not one lies so far out, if their accuracies are normal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seeds:
    """Test accuracy of a recipe minus that of the reference, seed by seed, in points."""

    num: int
    lowest: float
    highest: float
    usual_sd: float
    """Standard deviation of the accuracy over the seeds of the reference; at least the usual one, and one image."""

    def one_loses(self, margin: float) -> bool:
        """Whether a single seed loses more than the seeds of the reference differ among themselves."""
        return self.num > 1 and self.lowest < -(margin + SURE * math.sqrt(2) * self.usual_sd)

    def differ(self, margin: float) -> bool:
        """Whether two seeds differ by more than the margin to either side, so that the mean alone says little."""
        return self.num > 1 and self.highest - self.lowest > 2 * margin

    @property
    def span(self) -> str:
        """As in `single seeds from -4.5 to +4.0`."""
        return f"single seeds from {self.lowest:+.1f} to {self.highest:+.1f}"


def seeds_of(points: Sequence[float], reference_sd_points: float, grain: float) -> Seeds | None:
    """Return the seeds of a comparison; None without one.

    Args:
        points: a difference for each seed.
        reference_sd_points: over the seeds of the reference; NaN if unknown.
        grain: what one test image is worth, in points.
    """
    if not points:
        return None
    known = 0.0 if math.isnan(reference_sd_points) else reference_sd_points
    usual = max(known, RUN_SD_POINTS, grain)
    return Seeds(num=len(points), lowest=min(points), highest=max(points), usual_sd=usual)
