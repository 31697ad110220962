"""Trainings that are none: a loss that is not finite, a loss scale that collapsed, no step that updated anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.images import Images
from ampbench.bench.train.statuses import Diverged
from ampbench.bench.train.training import Training
from ampbench.bench.worker.divergence.replay import first_non_finite, watching
from ampbench.bench.worker.traces import Rows

LEAST_SCALE = torch.finfo(torch.float32).tiny
"""The smallest loss scale with all bits of an fp32 number, 2^-126: one below it scales a loss of 1 to 0 or near it."""


def refuse_divergence(steps: Rows, row: dict[str, Any]) -> None:
    """Look at steps just taken, rows of the table, and write into `row` which of them broke.

    Raises:
        Diverged: a loss is not finite, or the loss scale halved itself away without finding a finite gradient.
    """
    for step in steps:
        place = f"at step {step['step']} (epoch {step['epoch']})"
        scale = step["loss_scale_factor"]
        if not math.isfinite(step["loss"]):
            row |= {"diverged_step": step["step"], "diverged_loss": str(step["loss"])}
            raise Diverged(f"the loss is {step['loss']} {place}")
        if scale is not None and scale < LEAST_SCALE:
            row["diverged_step"] = step["step"]
            raise Diverged(f"the loss scale collapsed to {scale:.3g} {place}: gradients are not finite at any scale")


def refuse_idleness(steps: Rows, row: dict[str, Any]) -> None:
    """Look at all steps of a training that is over.

    Raises:
        Diverged: the scaler skipped every one of them, so that no weight was ever updated.
    """
    if steps and all(step["skipped"] for step in steps):
        row["diverged_step"] = steps[-1]["step"]
        raise Diverged(
            f"the loss scaler skipped every one of the {len(steps)} steps, so no weight was updated: gradients were "
            f"not finite, at last at a loss scale of {steps[-1]['loss_scale_factor']:.3g} at step {steps[-1]['step']}"
        )


def broken_evaluation(training: Training, said: str, epoch: int, row: dict[str, Any]) -> Diverged:
    """Return how a training ends whose evaluation after an epoch, from 1, is not finite; find the layer once more."""
    row |= {"diverged_step": epoch * training.steps_per_epoch, "diverged_in": "evaluation"}
    if training.cell.gpus == 1:  # the others have left
        with watching(training.model) as events, suppress(Diverged):
            training.evaluate()
        row["diverged_layer"] = events[0][0] if events else None
    return Diverged(f"in the evaluation after epoch {epoch} {said}")


def first_layer(
    cell: Cell,
    images: Images,
    device: torch.device,
    saved: Mapping[str, Any] | None,
    row: dict[str, Any],
    *,
    max_s: float,
    start: Mapping[str, Any] | None = None,
) -> str:
    """Say which layer of a training that diverged went first; where it is not known, by a replay of `max_s` at most."""
    if row.get("diverged_in") == "evaluation":
        layer = row["diverged_layer"]
        return f"{layer}'s output went non-finite first" if layer else "every layer's output was finite"
    step, finite = row["diverged_step"], "diverged_loss" not in row
    finding = first_non_finite(
        cell, images, device, saved, last_step=step, max_s=max_s, finite_loss=finite, start=start
    )
    if finding is None:
        return f"a replay of at most {max_s:.0f} s did not find the layer"
    row |= {"diverged_layer": finding.layer, "diverged_in": finding.where}
    return str(finding)
