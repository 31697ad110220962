"""The losses and loss scales of steps, left on the device while they are timed, and read back as rows of `steps`."""

from __future__ import annotations

import torch
from torch import Tensor

from ampbench.bench.train.step import Step
from ampbench.schema.steps import StepRow


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
        """Add a step. Never waits."""
        self._num_images.append(step.num_images)
        self._losses.append(step.loss)
        if step.tally_2 is not None:
            self._tallies.append(step.tally_2)
        if step.correct is not None:
            self._hits.append(step.correct)
        self._num_seen.append(step.num_seen)

    def pack(self) -> None:
        """Put the steps so far into one tensor. Never waits."""
        for loose, packed in (
            (self._losses, self._packed_losses),
            (self._tallies, self._packed_tallies),
            (self._hits, self._packed_hits),
        ):
            if loose:
                packed.append(torch.stack(loose))
                loose.clear()

    def read(self, first_step: int, epoch: int, *, num_timed: int | None = None) -> list[StepRow]:
        """Return a row of `steps` for each step so far; wait for the device.

        Args:
            first_step: number of the first of them, from 1.
            epoch: that they are of, from 0; in the rows it counts from 1.
            num_timed: of them, before timing stopped; all if None.
        """
        self.pack()
        losses = torch.cat(self._packed_losses).tolist() if self._packed_losses else []
        tallies = torch.cat(self._packed_tallies).tolist() if self._packed_tallies else [(None, None)] * len(losses)
        accuracies = self._accuracies()
        rows, skipped_before = [], self._skipped
        for i, (loss, (scale, num_skipped)) in enumerate(zip(losses, tallies, strict=True)):
            skipped = None if num_skipped is None else num_skipped > skipped_before
            skipped_before = skipped_before if num_skipped is None else num_skipped
            rows.append(
                StepRow(
                    step=first_step + i,
                    epoch=epoch + 1,
                    loss=loss,
                    train_accuracy=accuracies[i],
                    num_images=self._num_images[i],
                    loss_scale_factor=scale,
                    skipped=skipped,
                    after_timing=num_timed is not None and i >= num_timed,
                )
            )
        return rows

    def _accuracies(self) -> list[float | None]:
        """Return the share of each step's images that were classified correctly, by differences of running counts."""
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
