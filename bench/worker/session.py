"""One cell under its instruments. Read `measure` for the order of things; the rest serves it."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench.measure.clock import Block, BlockClock
from bench.measure.dtypes import DtypeProof
from bench.measure.memory import Memory, memory_of
from bench.measure.stopping import ci_share, is_flat, why_stop
from bench.plan.cell import Cell
from bench.plan.experiment import Measure
from bench.train.images import load_images
from bench.train.precision import DTYPES, fp32_precision
from bench.train.statuses import Diverged
from bench.train.training import Step, Training

Report = Callable[..., None]
"""Tells whoever watches, by keyword: phase, epoch, images_per_s, memory_bytes."""

WARMUP_SHARE = 0.5
"""Of a training's steps: warm-up is called over there, steady or not, so that samples are left."""

MAX_BLOCK_SHARE = 0.1
"""Of a training's steps: the longest block, so that a short training holds several. No block spans two epochs."""


@dataclass
class Session:
    """The measurements of one cell, filled in as they are taken, so that an early end keeps what came before."""

    cell: Cell
    measure_by: Measure
    device: torch.device
    report: Report
    started_s: float = field(default_factory=time.perf_counter)
    row: dict[str, Any] = field(default_factory=dict)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    clock: BlockClock = field(init=False)
    memory: Memory = field(init=False)
    first_steady: int = 0
    """Index of the first block that is a timing sample."""

    def __post_init__(self) -> None:
        self.clock = BlockClock(self.device, block_s=self.measure_by.block_ms / 1e3)
        self.memory = memory_of(self.device)

    def measure(self) -> None:
        """Load, build, train or time, and fill `row`, `epochs`, `steps` and the clock's blocks.

        Raises:
            Diverged: the loss is not finite any more.
            Unsupported: the device cannot do what the recipe asks.
            RuntimeError: products ran in another dtype than the recipe says.
        """
        self.memory.reset_peak()
        self.row |= {"memory_instrument": self.memory.instrument, "baseline_bytes": self.memory.peak_bytes()}
        self.report(phase="data")
        images = load_images(self.cell.data, self.cell.image_size)
        self.row |= {
            "num_train_images": len(images.train_y_N),
            "num_test_images": len(images.test_y_N),
            "num_classes": images.num_classes,
            "data_sha256": images.sha256,
        }
        self.report(phase="model")
        training = Training(self.cell, images, self.device)
        self.row |= {
            "num_parameters": training.num_parameters,
            "fp32_precision": " ".join(f"{k}:{v}" for k, v in fp32_precision().items()),
            "threads_used": torch.get_num_threads(),
            "startup_s": time.perf_counter() - self.started_s,
            "train_s": 0.0,
        }
        self.report(phase="warm-up")
        try:
            if self.cell.epochs:
                self.train(training)
            else:
                self.time(training)
        finally:
            self.sum_up()

    def train(self, training: Training) -> None:
        """Train to the end, evaluating after each epoch, off the clock."""
        self.row["evaluate_s"] = 0.0
        per_epoch = training.steps_per_epoch
        self.clock.max_steps = max(1, min(per_epoch, int(MAX_BLOCK_SHARE * self.cell.epochs * per_epoch)))
        for epoch in range(self.cell.epochs):
            losses = self.run(training, epoch, num_steps=training.steps_per_epoch)
            self.keep_peak()
            scale = training.precision.scaler.factor
            begun = time.perf_counter()
            evaluation = asdict(training.evaluate())
            self.row["evaluate_s"] += time.perf_counter() - begun
            self.memory.reset_peak()
            blocks = [block for block in self.clock.blocks if block.epoch == epoch]
            self.epochs.append(
                {
                    "epoch": epoch + 1,
                    "learning_rate": training.optimizer.param_groups[0]["lr"],
                    "train_loss": statistics.fmean(losses),
                    "train_s": self.row["train_s"],
                    "images_per_s": _mean_rate(blocks),
                    "num_skipped": sum(b.num_skipped for b in blocks),
                    "loss_scale": scale,
                    **evaluation,
                }
            )
            self.report(phase="training", epoch=epoch + 1, test_accuracy=evaluation["test_accuracy"])
        self.row |= {"timing_stop": "training", "final_loss_scale": scale, **evaluation}
        self.row["best_test_accuracy"] = max(e["test_accuracy"] for e in self.epochs)
        target = self.measure_by.target_accuracy
        reached = [e["train_s"] for e in self.epochs if target is not None and e["test_accuracy"] >= target]
        self.row |= {"target_accuracy": target, "time_to_accuracy_s": reached[0] if reached else None}

    def time(self, training: Training) -> None:
        """Step until the speed is known, over as many epochs as that takes."""
        self.run(training, 0, num_steps=None)
        self.keep_peak()
        self.row["final_loss_scale"] = training.precision.scaler.factor

    def run(self, training: Training, epoch: int, *, num_steps: int | None) -> list[float]:
        """Step under the clock, to the end of the epoch or, without `num_steps`, until timing may stop.

        Returns the loss of each step. Raises Diverged if one is not finite.
        """
        losses: list[Tensor] = []
        packed: list[Tensor] = []  # a loss alone takes 512 bytes of the memory that is measured, for as long as we step
        steps = training.steps(epoch) if num_steps else _endless(training)
        skipped = training.precision.scaler.num_skipped
        begun = time.perf_counter()
        try:
            if not self.steps:
                losses.append(self.prove_dtypes(steps))
            left = num_steps - len(losses) if num_steps else math.inf
            self.clock.open(epoch)
            for loss, num_images in steps:
                losses.append(loss)
                left -= 1
                if self.clock.count(loss, num_images, skipped, steps_left=left):
                    packed.append(torch.stack(losses))
                    losses.clear()
                    if self.at_border(training):
                        break
            self.clock.settle()
        finally:
            values = torch.cat([*packed, *(loss.view(1) for loss in losses)]).tolist() if packed or losses else []
            self.row["train_s"] += time.perf_counter() - begun
            first = len(self.steps) + 1
            self.steps += [{"step": first + i, "epoch": epoch + 1, "loss": value} for i, value in enumerate(values)]
        for step in self.steps[first - 1 :]:
            if not math.isfinite(step["loss"]):
                raise Diverged(f"the loss is {step['loss']} at step {step['step']} (epoch {epoch + 1})")
        return values

    def prove_dtypes(self, steps: Iterator[Step]) -> Tensor:
        """Take the first step, which is no sample anyway, under the eyes of a dispatch mode."""
        with DtypeProof() as proof:
            loss, _ = next(steps)
        self.row["dtype_proof"] = str(proof)
        contradiction = proof.contradicts(DTYPES[self.cell.precision.compute])
        if contradiction:
            raise RuntimeError(f"dtype proof: {contradiction}")
        return loss

    def at_border(self, training: Training) -> bool:
        """Look at the blocks so far; return whether stepping should stop. Waits for nothing."""
        blocks = self.clock.blocks
        if not blocks:
            return False
        num_steps = sum(block.num_steps for block in blocks)
        total = self.cell.epochs * training.steps_per_epoch
        share = num_steps / total if total else None
        self.report(images_per_s=blocks[-1].images_per_s, memory_bytes=self.memory.peak_bytes(), share=share)
        if not math.isfinite(blocks[-1].last_loss):
            return True
        if self.clock.warming_up:
            self.look_at_warmup(training)
        elif not self.cell.epochs:
            timed = blocks[self.first_steady :]
            self.row["timing_stop"] = why_stop(
                [block.images_per_s for block in timed if not block.num_skipped],
                target_ci=self.measure_by.target_ci,
                timed_s=sum(block.wall_s for block in timed),
                max_timing_s=self.measure_by.max_timing_s,
            )
            return self.row["timing_stop"] is not None
        return False

    def look_at_warmup(self, training: Training) -> None:
        """End warm-up when the speed is flat, the last block skipped no step, or a cap is reached."""
        blocks = self.clock.blocks
        settled = [block for block in blocks if not block.calibrating]
        steady = is_flat([b.device_s / b.num_steps for b in settled]) and not settled[-1].num_skipped
        num_steps = sum(block.num_steps for block in blocks)
        too_long = sum(block.wall_s for block in blocks) >= self.measure_by.max_warmup_s
        too_many = self.cell.epochs and num_steps >= WARMUP_SHARE * self.cell.epochs * training.steps_per_epoch
        if steady or too_long or too_many:
            self.keep_peak()
            self.memory.reset_peak()
            self.clock.warming_up = False
            # The window that proved to be flat is no sample: each of its blocks began on a device that had run dry.
            self.first_steady = len(blocks)
            self.row["warmup_steady"] = steady
            self.report(phase="training" if self.cell.epochs else "timing")

    def keep_peak(self) -> None:
        """Take the memory peak of the steps just run into the record."""
        kind = "startup_peak_bytes" if self.clock.warming_up else "steady_peak_bytes"
        self.row[kind] = max(self.row.get(kind, 0), self.memory.peak_bytes())
        reserved = self.memory.reserved_bytes()
        # Once evaluated, the cache also holds the evaluation's batches, which are not the training's.
        if reserved is not None and not self.epochs:
            self.row["peak_reserved_bytes"] = max(self.row.get("peak_reserved_bytes", 0), reserved)

    def sum_up(self) -> None:
        """Condense the blocks into the record; without a sample the speed stays null."""
        blocks = self.clock.blocks
        warmup = blocks if self.clock.warming_up else blocks[: self.first_steady]
        self.row |= {
            "num_steps": len(self.steps),
            "num_skipped": sum(block.num_skipped for block in blocks),
            "warmup_steps": 1 + sum(block.num_steps for block in warmup) if self.steps else 0,
        }
        timed = [block for block in blocks[len(warmup) :] if not block.num_skipped]
        if not timed:
            return
        rates = [block.images_per_s for block in timed]
        q1, median, q3 = statistics.quantiles(rates, n=4, method="inclusive") if len(rates) > 1 else rates * 3
        self.row |= {
            "images_per_s": median,
            "images_per_s_q1": q1,
            "images_per_s_q3": q3,
            "num_blocks": len(timed),
            "step_ms": 1e3 * self.cell.batch_size / median,
            "ci_share": ci_share(rates),
            "gap_share": 1 - sum(b.device_s for b in timed) / sum(b.wall_s for b in timed),
        }

    def block_rows(self) -> list[dict[str, Any]]:
        """Return the raw samples, warm-up included and marked."""
        first_steady = len(self.clock.blocks) if self.clock.warming_up else self.first_steady
        return [
            {
                "block": i + 1,
                "epoch": block.epoch + 1,
                "num_steps": block.num_steps,
                "num_images": block.num_images,
                "num_skipped": block.num_skipped,
                "device_s": block.device_s,
                "wall_s": block.wall_s,
                "images_per_s": block.images_per_s,
                "steady": i >= first_steady,
            }
            for i, block in enumerate(self.clock.blocks)
        ]


def _endless(training: Training) -> Iterator[Step]:
    for epoch in itertools.count():
        yield from training.steps(epoch)


def _mean_rate(blocks: list[Block]) -> float | None:
    """Images per second of wall time over blocks; None for an epoch that had only the first step."""
    return sum(b.num_images for b in blocks) / sum(b.wall_s for b in blocks) if blocks else None
