"""The course of the loss scale: skipped steps, how often the scale rose and fell, and wasted images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from ampbench.bench.measure.clock import Block
from ampbench.schema.precision import LossScaling
from ampbench.schema.steps import StepRow


def loss_scaling(steps: Sequence[StepRow], blocks: Sequence[Block], final_scale: float | None) -> LossScaling:
    """Condense the course of the loss scale; its columns are null without a scaler."""
    scaling = LossScaling(
        num_steps=len(steps),
        num_skipped=sum(block.num_skipped for block in blocks),
        final_loss_scale=final_scale,
    )
    scales = [row.loss_scale_factor for row in steps if row.loss_scale_factor is not None]
    if not scales or final_scale is None:
        return scaling
    changes = list(itertools.pairwise([*scales, final_scale]))
    return replace(
        scaling,
        num_growths=sum(after > before for before, after in changes),
        num_backoffs=sum(after < before for before, after in changes),
        min_loss_scale=min(scales),
        max_loss_scale=max(scales),
        wasted_images=sum(row.num_images for row in steps if row.skipped),
    )
