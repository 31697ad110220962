"""The timing of a cell: which blocks are samples, when warm-up is over, and when timing may stop.

Everything is decided at the borders of blocks, from values that are known there without a wait.
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
from ampbench.bench.worker.timing.board_watch import BoardWatch
from ampbench.schema.memory import MemoryPeaks
from ampbench.schema.speed import Stopping

Report = Callable[..., None]
"""Reports progress by keyword: phase, epoch, loss, num_correct, num_seen, learning_rate, images_per_s, step …"""

WARMUP_SHARE = 0.5
"""Share of a training's steps after which warm-up ends, steady or not, so that steps are left for samples."""

MAX_BLOCK_SHARE = 0.1
"""Longest block as a share of a training's steps, so that a short training has several. No block spans two epochs."""


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
    """Steps of the whole training; None where only the speed is measured."""
    num_own_steps: int | None = None
    """Those of them that this process takes: fewer after a resume."""
    num_allocations: int = 0
    """The allocator's requests to the device up to the last border."""
    num_untimed: int = 0
    """Steps of the training so far that are in no block: the first of each process, and those that compile."""
    num_judged: int = 0
    """Blocks of this process whose validity has been judged: a border judges only the new ones."""
    evaluated: bool = False
    """Whether the allocator's cache also holds an evaluation's batches, which do not belong to the training."""

    def __post_init__(self) -> None:
        self.clock = BlockClock(self.device, block_s=self.protocol.block_ms / 1e3)
        self.memory = memory_of(self.device)

    def start(self) -> MemoryPeaks:
        """Start sampling the board, and return the memory before anything is loaded."""
        self.board.start()
        self.memory.reset_peak()
        self.peaks = MemoryPeaks(memory_instrument=self.memory.instrument, baseline_bytes=self.memory.peak_bytes())
        return self.peaks

    def expect(self, num_steps: int, steps_per_epoch: int) -> None:
        """Prepare to time a whole training of `num_steps`."""
        self.num_steps = self.num_own_steps = num_steps
        self.clock.max_steps = max(1, min(steps_per_epoch, int(MAX_BLOCK_SHARE * num_steps)))

    def at_border(self, **facts: Any) -> bool:
        """Judge the blocks so far, and report the last one; return whether stepping should stop. Never waits.

        On a GPU the last block is the one before the block that was just queued.
        """
        self.board.take_samples()
        blocks = self.clock.blocks
        if not blocks:
            return False
        num_timed = sum(block.num_steps for block in blocks)
        share = num_timed / self.num_steps if self.num_steps else None
        last = blocks[-1]
        facts["step"] = self.num_untimed + num_timed
        facts |= {"epoch": last.epoch + 1, "loss": last.last_loss, "images_per_s": last.images_per_s, "share": share}
        facts |= {"num_correct": last.num_correct, "num_seen": last.num_seen}
        self.report(memory_bytes=self.memory.peak_bytes(), **facts)
        if not math.isfinite(blocks[-1].last_loss):
            return True
        if self.clock.warming_up:
            self.check_warmup()
        elif self.num_steps is None:
            self.stopping = replace(self.stopping, timing_stop=self.why_stop())
            return self.stopping.timing_stop is not None
        return False

    def why_stop(self) -> str | None:
        """Return why timing may stop now, or None to go on.

        Invalid blocks are timed again, for at most the time that a timing may take.

        Raises:
            Throttled: most blocks are invalid after that.
        """
        self.judge(first=self.num_judged)
        timed = [block for block in self.clock.blocks if block.steady]
        invalid = [block for block in timed if block.invalid]
        invalid_s = sum(block.wall_s for block in invalid)
        because = why_stop(
            [block.images_per_s for block in samples(timed)],
            target_ci=self.protocol.target_ci,
            timed_s=sum(block.wall_s for block in timed) - invalid_s,
            max_timing_s=self.protocol.max_timing_s,
        )
        if because is None and invalid_s >= self.protocol.max_timing_s:
            if 2 * len(invalid) > len(timed):
                raise Throttled(
                    f"{len(invalid)} of {len(timed)} blocks do not count, in the last one: {invalid[-1].invalid}; "
                    "let the board cool, or free it, and run again with --again throttled"
                )
            return "capped"
        return because

    def stop(self) -> None:
        """Stop sampling the board, and judge the blocks by all samples."""
        self.board.stop()
        self.judge()

    def judge(self, first: int = 0) -> None:
        """Mark the blocks of this process, from `first` on, that the state of the board makes invalid."""
        judged = self.board.judged(self.clock.own_blocks, first)
        self.clock.blocks[len(self.clock.blocks) - len(judged) :] = judged
        self.num_judged = len(self.clock.own_blocks)

    def check_warmup(self) -> None:
        """End warm-up when the speed is steady and the last block was undisturbed, or when a limit is reached.

        Undisturbed means that the scaler skipped no step, that the allocator requested no memory from the device, as it
        does while cuDNN tries its algorithms, and that the board's clock did not drift.
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
            self.update_peak()
            self.memory.reset_peak()
            self.clock.warming_up = False
            self.stopping = replace(self.stopping, warmup_steady=steady)
            self.report(phase="timing" if self.num_steps is None else "training")

    def update_peak(self) -> None:
        """Update the memory peaks with those of the last steps."""
        peak, peaks = self.memory.peak_bytes(), self.peaks
        if self.clock.warming_up:
            self.peaks = replace(peaks, startup_peak_bytes=max(peaks.startup_peak_bytes or 0, peak))
        else:
            self.peaks = replace(peaks, steady_peak_bytes=max(peaks.steady_peak_bytes or 0, peak))
        reserved = self.memory.reserved_bytes()
        if reserved is not None and not self.evaluated:
            most = max(peaks.peak_reserved_bytes or 0, reserved)
            self.peaks = replace(self.peaks, peak_reserved_bytes=most)
