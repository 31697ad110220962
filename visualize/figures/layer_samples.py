"""What the figures of the numerics probe share: whether it took a sample, and what is said where it took none."""

from __future__ import annotations

from ampbench.visualize.read.frame import Results

NOTHING = "No look at the layers: set numerics_samples in [measure]."
"""In place of a panel."""
NOTHING_IN_WORDS = "no look at the layers"
"""In place of its description."""


def taken(results: Results) -> bool:
    """Return whether the probe looked at any layer."""
    return len(results.layers) > 0
