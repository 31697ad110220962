"""Trainings that diverged: the loss is not finite, the loss scale collapsed, or no step updated a weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.images.images import Images
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.training import Training
from ampbench.bench.worker.divergence.replay import first_non_finite, said_of_input, watching
from ampbench.schema.precision import Divergence
from ampbench.schema.steps import StepRow

LEAST_SCALE = torch.finfo(torch.float32).tiny
"""The smallest normal fp32 number, 2^-126: a smaller loss scale turns a loss of 1 into 0 or nearly 0."""

Found = tuple[Divergence, str]
"""Where a training diverged, and how, in words."""


def divergence_of(steps: Sequence[StepRow]) -> Found | None:
    """Return the first of these steps that diverged: its loss is not finite, or its loss scale is practically zero.

    A loss scale gets there by being halved at every step, because no gradient is finite.
    """
    for step in steps:
        place = f"at step {step.step} (epoch {step.epoch})"
        scale = step.loss_scale_factor
        if not math.isfinite(step.loss):
            found = Divergence(diverged_step=step.step, diverged_loss=str(step.loss))
            return found, f"the loss is {step.loss} {place}"
        if scale is not None and scale < LEAST_SCALE:
            because = f"the loss scale collapsed to {scale:.3g} {place}: gradients are not finite at any scale"
            return Divergence(diverged_step=step.step), because
    return None


def without_update(steps: Sequence[StepRow]) -> Found | None:
    """Return that the scaler skipped every step of a finished training, so that no weight was updated; else None."""
    if not steps or not all(step.skipped for step in steps):
        return None
    last = steps[-1]
    return Divergence(diverged_step=last.step), (
        f"the loss scaler skipped every one of the {len(steps)} steps, so no weight was updated: gradients were "
        f"not finite, in the end at a loss scale of {last.loss_scale_factor:.3g} at step {last.step}"
    )


def broken_evaluation(training: Training, said: str, epoch: int) -> Found:
    """Return the divergence in an evaluation after an epoch, from 1; evaluate again to find the layer."""
    layer, where = None, ""
    if training.cell.gpus == 1:  # the other ranks do not take part
        with watching(training.model) as events, suppress(Diverged):
            training.evaluate()
        layer, where = events[0] if events else (None, "")
    step = epoch * training.steps_per_epoch
    inside = "evaluation input" if where == "input" else "evaluation"
    found = Divergence(diverged_step=step, diverged_in=inside, diverged_layer=layer)
    return found, f"in the evaluation after epoch {epoch} {said}"


def first_layer(
    cell: Cell,
    images: Images,
    device: torch.device,
    saved: Mapping[str, Any] | None,
    found: Divergence,
    *,
    max_s: float,
    start: Mapping[str, Any] | None = None,
) -> Found:
    """Find the layer that diverged first, by a replay of at most `max_s` if it is not known.

    Args:
        cell: the cell that diverged, in the layout in which it ran.
        images: its data.
        device: that it ran on.
        saved: a checkpoint to start from; None replays from the seed.
        found: what is known of the divergence.
        max_s: give up after so many seconds.
        start: `Training.start`, where a second call of the model's factory does not build a new model.
    """
    if found.diverged_in and found.diverged_in.startswith("evaluation"):
        layer = found.diverged_layer
        if layer and found.diverged_in == "evaluation input":
            return found, said_of_input(layer)
        return found, f"{layer}'s output was the first to be non-finite" if layer else "every layer's output was finite"
    assert found.diverged_step is not None, "a divergence has a step"
    finding = first_non_finite(
        cell,
        images,
        device,
        saved,
        last_step=found.diverged_step,
        max_s=max_s,
        finite_loss=found.diverged_loss is None,
        start=start,
    )
    if finding is None:
        return found, f"a replay of at most {max_s:.0f} s did not find the layer"
    return replace(found, diverged_layer=finding.layer, diverged_in=finding.where), str(finding)
