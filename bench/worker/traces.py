"""What a session gathers on its way, as rows of tables; a checkpoint carries it, so that a resume lacks nothing."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from ampbench.bench.measure.clock import Block, samples
from ampbench.bench.measure.stopping import ci_share, num_outliers
from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.step import Step

Rows = list[dict[str, Any]]


@dataclass
class Traces:
    """Rows of a run's tables, by the table's name."""

    epochs: Rows = field(default_factory=list)
    steps: Rows = field(default_factory=list)
    layers: Rows = field(default_factory=list)
    exponents: Rows = field(default_factory=list)
    board: Rows = field(default_factory=list)
    allocations: Rows = field(default_factory=list)
    memory: Rows = field(default_factory=list)

    def state_dict(self) -> dict[str, Rows]:
        """Return the tables, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


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

    def read(self, first_step: int, epoch: int) -> Rows:
        """Return a row of `steps` for each, waiting for the device. Steps and epochs count from 1 in the rows."""
        self.pack()
        losses = torch.cat(self._packed_losses).tolist() if self._packed_losses else []
        tallies = torch.cat(self._packed_tallies).tolist() if self._packed_tallies else [(None, None)] * len(losses)
        accuracies = self._accuracies()
        rows: Rows = []
        for i, (loss, (scale, skipped)) in enumerate(zip(losses, tallies, strict=True)):
            row = {"step": first_step + i, "epoch": epoch + 1, "loss": loss, "num_images": self._num_images[i]}
            row |= {"train_accuracy": accuracies[i], "loss_scale_factor": scale, "skipped": None}
            if skipped is not None:
                row["skipped"] = skipped > self._skipped
                self._skipped = skipped
            rows.append(row)
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


def speed(blocks: Sequence[Block], cell: Cell) -> dict[str, Any]:
    """Condense the blocks into columns of the record; without a sample the speed stays null."""
    row: dict[str, Any] = {
        "num_skipped": sum(block.num_skipped for block in blocks),
        "warmup_steps": sum(block.num_steps for block in blocks if not block.steady),
    }
    timed = samples(blocks)
    if not timed:
        return row | ({"no_speed_because": why_no_speed(blocks)} if blocks else {})
    rates = [block.images_per_s for block in timed]
    q1, median, q3 = statistics.quantiles(rates, n=4, method="inclusive") if len(rates) > 1 else rates * 3
    return row | {
        "images_per_s": median,
        "images_per_s_q1": q1,
        "images_per_s_q3": q3,
        "num_blocks": len(timed),
        "num_outliers": num_outliers(rates),
        "step_ms": 1e3 * cell.global_batch_size / median,
        "ci_share": ci_share(rates),
        "gap_share": 1 - sum(b.device_s for b in timed) / sum(b.wall_s for b in timed),
    }


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


def epoch_speed(blocks: Sequence[Block], epoch: int) -> dict[str, Any]:
    """Return the speed columns of a row of `epochs`; no rate for an epoch that had only the first step."""
    own = [block for block in blocks if block.epoch == epoch]
    return {
        "epoch": epoch + 1,
        "wall_images_per_s": sum(b.num_images for b in own) / sum(b.wall_s for b in own) if own else None,
        "num_skipped": sum(b.num_skipped for b in own),
    }


def scale_story(steps: Rows, final_scale: float | None) -> dict[str, Any]:
    """Condense the loss-scale trajectory into columns of the record; nulls without a scaler."""
    scales = [row["loss_scale_factor"] for row in steps if row["loss_scale_factor"] is not None]
    if not scales or final_scale is None:
        return {}
    changes = list(itertools.pairwise([*scales, final_scale]))
    return {
        "num_growths": sum(after > before for before, after in changes),
        "num_backoffs": sum(after < before for before, after in changes),
        "min_loss_scale": min(scales),
        "max_loss_scale": max(scales),
        "wasted_images": sum(row["num_images"] for row in steps if row["skipped"]),
    }


def block_rows(blocks: Sequence[Block]) -> Rows:
    """Return the raw samples, warm-up included and marked."""
    shown = ("num_steps", "num_images", "num_skipped", "device_s", "wall_s", "images_per_s", "steady", "invalid")
    return [
        {"block": i, "epoch": block.epoch + 1} | {key: asdict(block)[key] for key in shown}
        for i, block in enumerate(blocks, 1)
    ]
