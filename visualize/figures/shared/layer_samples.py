"""What the figures of the numerics probe share: whether it took a sample, and the words if it took none."""

from __future__ import annotations

from ampbench.visualize.read.frame import Results

NOTHING = "No sample of the numerics probe: set numerics_samples in [measure]."
"""In place of a panel."""
NOTHING_IN_WORDS = "no sample of the numerics probe"
"""In place of its description."""


def taken(results: Results) -> bool:
    """Return whether the numerics probe took a sample of any cell."""
    return len(results.layers) > 0
