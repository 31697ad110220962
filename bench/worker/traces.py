"""From steps and blocks to rows and columns: losses and loss scales read back, and the speed that the blocks show."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ampbench.bench.measure.clock import Block, samples
from ampbench.bench.measure.stopping import ci_share, num_outliers
from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.step import Step
from ampbench.schema.precision import LossScaling
from ampbench.schema.speed import Speed
from ampbench.schema.steps import BlockRow, StepRow


class StepTrace:
    """The losses and loss scales of consecutive steps, left on the device until they are read.

    A loss alone takes 512 bytes of the memory that is measured, so they are packed at every block's border.
    """

    def __init__(self, num_skipped: float) -> None:
        self._skipped = num_skipped
        self._num_images: list[int] = []
        self._losses: list[Tensor] = []
        self._tallies: list[Tensor] = []
        self._packed_losses: list[Tensor] = []
        self._packed_tallies: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._packed_hits: list[Tensor] = []
        self._num_seen: list[int] = []

    def add(self, step: Step) -> None:
        """Keep a step. Waits for nothing."""
        self._num_images.append(step.num_images)
        self._losses.append(step.loss)
        if step.tally_2 is not None:
            self._tallies.append(step.tally_2)
        if step.correct is not None:
            self._hits.append(step.correct)
        self._num_seen.append(step.num_seen)

    def pack(self) -> None:
        """Put the steps kept so far into one tensor. Waits for nothing."""
        for loose, packed in (
            (self._losses, self._packed_losses),
            (self._tallies, self._packed_tallies),
            (self._hits, self._packed_hits),
        ):
            if loose:
                packed.append(torch.stack(loose))
                loose.clear()

    def read(self, first_step: int, epoch: int) -> list[StepRow]:
        """Return a row of `steps` for each, waiting for the device. Steps and epochs count from 1 in the rows."""
        self.pack()
        losses = torch.cat(self._packed_losses).tolist() if self._packed_losses else []
        tallies = torch.cat(self._packed_tallies).tolist() if self._packed_tallies else [(None, None)] * len(losses)
        accuracies = self._accuracies()
        rows = []
        for i, (loss, (scale, num_skipped)) in enumerate(zip(losses, tallies, strict=True)):
            skipped = None if num_skipped is None else num_skipped > self._skipped
            self._skipped = self._skipped if num_skipped is None else num_skipped
            rows.append(
                StepRow(
                    step=first_step + i,
                    epoch=epoch + 1,
                    loss=loss,
                    train_accuracy=accuracies[i],
                    num_images=self._num_images[i],
                    loss_scale_factor=scale,
                    skipped=skipped,
                )
            )
        return rows

    def _accuracies(self) -> list[float | None]:
        """Return the share of each step's own images that the network got right, by differences of running counts."""
        hits = torch.cat(self._packed_hits).tolist() if self._packed_hits else []
        if len(hits) < len(self._num_seen) or not all(self._num_seen):
            return [None] * len(self._num_seen)
        shares: list[float | None] = []
        before = (0, 0)
        for now in zip(hits, self._num_seen, strict=True):
            if now[1] <= before[1]:  # a new epoch, in a timing that spans several
                before = (0, 0)
            shares.append((now[0] - before[0]) / (now[1] - before[1]))
            before = now
        return shares


def speed(blocks: Sequence[Block], cell: Cell, *, num_untimed_steps: int = 0) -> Speed:
    """Condense the blocks; without a sample the speed stays null.

    Args:
        blocks: of the whole training.
        cell: that was trained.
        num_untimed_steps: in no block, as those of the dtype check and those in which the compiler worked.
    """
    warmup_steps = num_untimed_steps + sum(block.num_steps for block in blocks if not block.steady)
    timed = samples(blocks)
    if not timed:
        return Speed(warmup_steps=warmup_steps, no_speed_because=why_no_speed(blocks) if blocks else None)
    rates = [block.images_per_s for block in timed]
    q1, median, q3 = statistics.quantiles(rates, n=4, method="inclusive") if len(rates) > 1 else rates * 3
    return Speed(
        images_per_s=median,
        images_per_s_q1=q1,
        images_per_s_q3=q3,
        num_blocks=len(timed),
        num_outliers=num_outliers(rates),
        step_ms=1e3 * cell.global_batch_size / median,
        ci_share=ci_share(rates),
        warmup_steps=warmup_steps,
        gap_share=1 - sum(b.device_s for b in timed) / sum(b.wall_s for b in timed),
    )


def why_no_speed(blocks: Sequence[Block]) -> str:
    """Say why no block is a timing sample."""
    steady = [block for block in blocks if block.steady]
    if not steady:
        return f"none of {len(blocks)} blocks of steps came after warm-up: take more steps"
    with_skips = sum(block.num_skipped > 0 for block in steady)
    if with_skips:
        skipped, num_steps = (sum(getattr(b, key) for b in steady) for key in ("num_skipped", "num_steps"))
        return (
            f"the scaler skipped {skipped:.0f} of {num_steps} steps after warm-up, and {with_skips} of {len(steady)} "
            "blocks have one: a skipped step is no update, so its time is none"
        )
    return f"none of {len(steady)} blocks after warm-up counts, in the last one: {steady[-1].invalid}"


def wall_images_per_s(blocks: Sequence[Block]) -> float | None:
    """Return the images of blocks over their wall time; None for an epoch that had only the first step."""
    return sum(b.num_images for b in blocks) / sum(b.wall_s for b in blocks) if blocks else None


def loss_scaling(steps: Sequence[StepRow], blocks: Sequence[Block], final_scale: float | None) -> LossScaling:
    """Condense the trajectory of the loss scale; what is about the scale is null without a scaler."""
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


def block_rows(blocks: Sequence[Block]) -> list[BlockRow]:
    """Return the raw samples, warm-up included and marked."""
    return [
        BlockRow(
            block=i,
            epoch=block.epoch + 1,
            num_steps=block.num_steps,
            num_images=block.num_images,
            num_skipped=block.num_skipped,
            device_s=block.device_s,
            wall_s=block.wall_s,
            images_per_s=block.images_per_s,
            steady=block.steady,
            invalid=block.invalid,
        )
        for i, block in enumerate(blocks, 1)
    ]
