"""The clock of a session: which blocks are samples, when warm-up is over, and when it has been timed for long enough.

Everything is decided at the borders of blocks, from what is known there without a wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ampbench.bench.measure.clock import BlockClock, samples
from ampbench.bench.measure.memory import Memory, memory_of
from ampbench.bench.measure.stopping import is_flat, why_stop
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.train.statuses import Throttled
from ampbench.bench.worker.board_watch import BoardWatch
from ampbench.schema.memory import MemoryPeaks
from ampbench.schema.speed import Stopping

Report = Callable[..., None]
"""Tells whoever watches, by keyword: phase, epoch, loss, num_correct, num_seen, learning_rate, images_per_s …"""

WARMUP_SHARE = 0.5
"""Of a training's steps: warm-up is called over there, steady or not, so that samples are left."""

MAX_BLOCK_SHARE = 0.1
"""Of a training's steps: the longest block, so that a short training holds several. No block spans two epochs."""


@dataclass
class Timing:
    """The blocks of one cell, and the peaks of memory between their borders."""

    protocol: MeasurementProtocol
    device: torch.device
    report: Report
    board: BoardWatch = field(default_factory=BoardWatch)
    clock: BlockClock = field(init=False)
    memory: Memory = field(init=False)
    peaks: MemoryPeaks = field(default_factory=MemoryPeaks)
    stopping: Stopping = field(default_factory=Stopping)
    num_steps: int | None = None
    """Of the whole training; None where only the speed is asked for."""
    num_own_steps: int | None = None
    """Of these, the steps of this process: fewer where it goes on from a checkpoint."""
    num_allocations: int = 0
    """The allocator's requests to the device up to the last border."""
    num_judged: int = 0
    """Blocks of this process of which it is known whether the board spoilt them: a border looks at the new ones."""
    evaluated: bool = False
    """Whether the allocator's cache also holds an evaluation's batches, which are not the training's."""

    def __post_init__(self) -> None:
        self.clock = BlockClock(self.device, block_s=self.protocol.block_ms / 1e3)
        self.memory = memory_of(self.device)

    def start(self) -> MemoryPeaks:
        """Start watching the board, and return the memory before anything was loaded."""
        self.board.start()
        self.memory.reset_peak()
        self.peaks = MemoryPeaks(memory_instrument=self.memory.instrument, baseline_bytes=self.memory.peak_bytes())
        return self.peaks

    def expect(self, num_steps: int, steps_per_epoch: int) -> None:
        """Time a training of so many steps, to its end."""
        self.num_steps = self.num_own_steps = num_steps
        self.clock.max_steps = max(1, min(steps_per_epoch, int(MAX_BLOCK_SHARE * num_steps)))

    def at_border(self, **facts: Any) -> bool:
        """Look at the blocks so far, and tell of the last one; return whether stepping should stop. Waits for nothing.

        On a device that has the next block queued, the last one is the one before it.
        """
        self.board.look()
        blocks = self.clock.blocks
        if not blocks:
            return False
        share = sum(block.num_steps for block in blocks) / self.num_steps if self.num_steps else None
        last = blocks[-1]
        facts |= {"epoch": last.epoch + 1, "loss": last.last_loss, "images_per_s": last.images_per_s, "share": share}
        facts |= {"num_correct": last.num_correct, "num_seen": last.num_seen}
        self.report(memory_bytes=self.memory.peak_bytes(), **facts)
        if not math.isfinite(blocks[-1].last_loss):
            return True
        if self.clock.warming_up:
            self.look_at_warmup()
        elif self.num_steps is None:
            self.stopping = replace(self.stopping, timing_stop=self.why_stop())
            return self.stopping.timing_stop is not None
        return False

    def why_stop(self) -> str | None:
        """Return why timing may stop now, or None to go on.

        What the board spoilt is timed again, for as long once more as a timing may take.

        Raises:
            Throttled: that did not help either.
        """
        self.judge(first=self.num_judged)
        timed = [block for block in self.clock.blocks if block.steady]
        spoilt = [block for block in timed if block.invalid]
        spoilt_s = sum(block.wall_s for block in spoilt)
        because = why_stop(
            [block.images_per_s for block in samples(timed)],
            target_ci=self.protocol.target_ci,
            timed_s=sum(block.wall_s for block in timed) - spoilt_s,
            max_timing_s=self.protocol.max_timing_s,
        )
        if because is None and spoilt_s >= self.protocol.max_timing_s:
            if 2 * len(spoilt) > len(timed):
                raise Throttled(
                    f"{len(spoilt)} of {len(timed)} blocks do not count, in the last one: {spoilt[-1].invalid}; "
                    "let the board cool, or free it, and run again with --again throttled"
                )
            return "capped"
        return because

    def stop(self) -> None:
        """Stop watching the board, and judge the blocks by all of it."""
        self.board.stop()
        self.judge()

    def judge(self, first: int = 0) -> None:
        """Mark the blocks of this process, from the `first` on, that the board spoilt."""
        judged = self.board.judged(self.clock.own_blocks, first)
        self.clock.blocks[len(self.clock.blocks) - len(judged) :] = judged
        self.num_judged = len(self.clock.own_blocks)

    def look_at_warmup(self) -> None:
        """End warm-up when the speed is flat and the last block was undisturbed, or when a cap is reached.

        Undisturbed: the scaler skipped no step, the allocator asked the device for no memory, as it does while cuDNN
        tries its algorithms, and the board's clock did not drift.
        """
        blocks = self.clock.own_blocks
        settled = [block for block in blocks if not block.calibrating]
        num_allocations = self.memory.num_allocations()
        undisturbed = num_allocations == self.num_allocations and not blocks[-1].num_skipped
        self.num_allocations = num_allocations
        flat = is_flat([block.device_s / block.num_steps for block in settled])
        steady = flat and undisturbed and self.board.clock_is_flat(settled)
        too_long = sum(block.wall_s for block in blocks) >= self.protocol.max_warmup_s
        num_steps = sum(block.num_steps for block in blocks)
        too_many = self.num_own_steps is not None and num_steps >= WARMUP_SHARE * self.num_own_steps
        if steady or too_long or too_many:
            self.keep_peak()
            self.memory.reset_peak()
            self.clock.warming_up = False
            self.stopping = replace(self.stopping, warmup_steady=steady)
            self.report(phase="timing" if self.num_steps is None else "training")

    def keep_peak(self) -> None:
        """Take in the memory peak of the steps just run."""
        peak, peaks = self.memory.peak_bytes(), self.peaks
        if self.clock.warming_up:
            self.peaks = replace(peaks, startup_peak_bytes=max(peaks.startup_peak_bytes or 0, peak))
        else:
            self.peaks = replace(peaks, steady_peak_bytes=max(peaks.steady_peak_bytes or 0, peak))
        reserved = self.memory.reserved_bytes()
        if reserved is not None and not self.evaluated:
            most = max(peaks.peak_reserved_bytes or 0, reserved)
            self.peaks = replace(self.peaks, peak_reserved_bytes=most)
