"""The state of the board in each block, and which blocks are invalid because of it. Does nothing on a CPU."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ampbench.bench.machine.board import Board
from ampbench.bench.machine.board_state.line import decoded
from ampbench.bench.machine.board_state.sampling import sampling_command
from ampbench.bench.machine.energy import MIN_WINDOW_S
from ampbench.bench.machine.process_tree import ancestor_pids
from ampbench.bench.machine.sampler import NoSampler, Sampler
from ampbench.bench.machine.summary import summary
from ampbench.bench.machine.throttling import median_sm_clock, why_invalid
from ampbench.bench.machine.windows import Window
from ampbench.bench.measure.clock import Block
from ampbench.bench.measure.stopping import STEADY_WINDOW, is_flat
from ampbench.schema.board import BoardSample, BoardState

REST_S = 2.2
"""Sleep with the model on the board before the first step, to sample its idle power: power may be the mean of the last
second, so only samples after that second are idle."""

MOST_SAMPLES = 36_000
"""Half an hour is kept in full. In a longer run the older half is thinned to one per `THIN_S`: 0.2 GB a day."""
THIN_S = 0.2


@dataclass
class BoardWatch:
    """The samples of one worker's board, collected without a wait."""

    sampler: Sampler[BoardSample] | NoSampler[BoardSample] = field(default_factory=NoSampler)
    samples: list[BoardSample] = field(default_factory=list)
    idle_window: Window | None = None

    @classmethod
    def of(cls, board: Board) -> BoardWatch:
        """Return the watch of a board; the CPU has no sampler."""
        if not board.is_gpu:
            return cls()
        if board.slice_of:
            print("power and energy are those of the whole board, and not of this MIG slice: not recorded")
        return cls(Sampler(sampling_command(board.board_id, [os.getpid()], ancestor_pids()), decoded))

    def start(self) -> None:
        """Start sampling, in a separate process."""
        self.sampler.start()

    def rest(self) -> None:
        """Leave the board idle for `REST_S`, if it is sampled."""
        if isinstance(self.sampler, NoSampler):
            return
        time.sleep(REST_S)
        now_s = time.perf_counter()
        self.idle_window = (now_s - MIN_WINDOW_S, now_s)

    def take_samples(self) -> None:
        """Add the samples that have arrived since the last call."""
        self.samples += self.sampler.drain()
        if len(self.samples) > MOST_SAMPLES:
            older = len(self.samples) // 2
            kept_s = -THIN_S
            thinned = []
            for sample in self.samples[:older]:
                if sample.time_s - kept_s >= THIN_S:
                    thinned.append(sample)
                    kept_s = sample.time_s
            self.samples[:older] = thinned

    def stop(self) -> None:
        """Add the last samples; the log says why samples are missing."""
        self.samples += self.sampler.stop()
        if self.sampler.why_no_samples:
            print(f"the board was not sampled throughout: {self.sampler.why_no_samples}", file=sys.stderr)

    def judged(self, blocks: Sequence[Block], first: int = 0) -> list[Block]:
        """Return the blocks from `first` on, each steady one with the reason why it is invalid, if there is one.

        The reason is judged by the median clock of all steady blocks so far.
        """
        if not self.samples:
            return list(blocks[first:])
        median = median_sm_clock(self.samples, [window_of(block) for block in blocks if block.steady])

        def judged(block: Block) -> Block:
            return replace(block, invalid=why_invalid(self.samples, *window_of(block), median))

        return [judged(block) if block.steady else block for block in blocks[first:]]

    def clock_is_flat(self, blocks: Sequence[Block]) -> bool:
        """Whether the SM clock does not drift over the last blocks; True where it is not known."""
        clocks = [median_sm_clock(self.samples, [window_of(block)]) for block in blocks[-STEADY_WINDOW:]]
        known = [mhz for mhz in clocks if mhz is not None]
        return len(known) < STEADY_WINDOW or is_flat(known)

    def columns(self, blocks: Sequence[Block]) -> BoardState:
        """Return the record's columns of the board, over the steady blocks."""
        steady = [block for block in blocks if block.steady]
        windows = [window_of(block) for block in steady]
        return summary(self.samples, windows, [block.num_images for block in steady], self.idle_window)

    def rows(self, since_s: float) -> list[BoardSample]:
        """Return the samples as rows of `board`, with times counted from `since_s`."""
        return [replace(sample, time_s=sample.time_s - since_s) for sample in self.samples]


def window_of(block: Block) -> Window:
    """Return the wall time in which a block ran."""
    return block.began_s, block.began_s + block.wall_s
