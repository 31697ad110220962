"""How long a block of steps took: one timing sample.

A block is k consecutive steps, k chosen so that it lasts at least 200 ms. At its border the stream gets a CUDA
event (the CPU reads perf_counter) and the process does not wait: a block is read after the next one has been queued, so
the GPU always has work. Blocks of the warm-up are not samples; each of them is read at once.

The CPU queues steps before the GPU runs them, so the time at which a border was queued is not the time at which the GPU
passed it. Wall time therefore starts at a border that was waited for, and continues by the device's own clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A moment, in wall time and on the device's stream."""

    wall_s: float
    """`time.perf_counter()` when it was queued; for a mark of `passed`, when the device was known to have passed it."""
    event: torch.cuda.Event | None
    waited: bool = False

    @classmethod
    def now(cls, device: torch.device) -> Mark:
        """Mark this place in the stream without waiting for it."""
        event = None
        if device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
        return cls(wall_s=time.perf_counter(), event=event)

    def wait(self) -> None:
        """Wait until the device has passed this mark."""
        if self.event is not None:
            self.event.synchronize()

    def passed(self) -> Mark:
        """Wait for it, and return it with the wall time at which the wait ended."""
        self.wait()
        return replace(self, wall_s=time.perf_counter(), waited=True)

    @property
    def is_timed(self) -> bool:
        """Whether `wall_s` is when the device passed it: a CPU passes a mark when it makes it."""
        return self.waited or self.event is None

    def device_s_until(self, end: Mark) -> float:
        """Return the device's time between two marks, in seconds; waits for the second."""
        end.wait()
        if self.event is None or end.event is None:
            return end.wall_s - self.wall_s
        return self.event.elapsed_time(end.event) / 1e3


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A block that the device has finished."""

    epoch: int
    num_steps: int
    num_images: int
    num_skipped: int
    began_s: float
    """`time.perf_counter()` when the device passed its first border: on Linux one clock for the whole machine, so a
    sampler's clock is the same."""
    device_s: float
    wall_s: float
    """From one border to the next: by perf_counter where the device was waited for, else by the device's own clock."""
    images_per_s: float
    last_loss: float
    """Loss of the block's last step: a loss that is not finite ends the cell here, not at the end of an epoch."""
    calibrating: bool
    """Whether the block's length was still being sought."""
    steady: bool
    """Whether warm-up was over. The blocks that showed that the speed was steady are not samples: each of them was
    read at once, so the next one started on an idle GPU."""
    num_correct: int | None = None
    """Images of the epoch, up to the block's end, that rank 0 classified correctly; None if not counted."""
    num_seen: int = 0
    """Images of the epoch up to the block's end, of rank 0."""
    invalid: str | None = None
    """Why the state of the board makes it invalid; None if it does not, or if the board was not sampled."""


def samples(blocks: Sequence[Block]) -> list[Block]:
    """Return the blocks that are timing samples: after warm-up, without a skipped step, and valid."""
    return [block for block in blocks if block.steady and not block.num_skipped and not block.invalid]


class BlockClock:
    """Cuts a stream of steps into blocks. `open`, then `count` every step; finished blocks are added to `blocks`."""

    def __init__(self, device: torch.device, *, block_s: float) -> None:
        self.device = device
        self.block_s = block_s
        self.blocks: list[Block] = []
        self.warming_up = True
        """Whether each block is read as soon as it ends."""
        self.max_steps: float = math.inf
        """Most steps of a block, even if it then lasts less than `block_s`."""
        self._steps_per_block: float = 1
        self._calibrating = True
        self._pending: tuple[Mark, Mark, Tensor, int, int, int, int] | None = None
        self._passed_s = 0.0
        """When the device passed the end of the block that was read last."""
        self._skipped = 0.0
        self._num_resumed = 0

    @property
    def own_blocks(self) -> list[Block]:
        """Return the blocks of this process."""
        return self.blocks[self._num_resumed :]

    def resume(self, blocks: Sequence[Block], num_skipped: float) -> None:
        """Take the blocks of an earlier process; the warm-up of this one begins."""
        self.blocks = list(blocks)
        self._num_resumed = len(self.blocks)
        self._skipped = num_skipped

    def open(self, epoch: int) -> None:
        """Start the clock: no earlier work, not even queued work, counts in the time of the next block."""
        self.settle()
        self._epoch = epoch
        self._num_steps = self._num_images = 0
        Mark.now(self.device).wait()
        self._start = Mark.now(self.device)
        self._passed_s = self._start.wall_s

    def count(
        self,
        loss: Tensor,
        num_images: int,
        num_skipped: Tensor,
        *,
        steps_left: float,
        hits: tuple[Tensor | None, int] = (None, 0),
    ) -> bool:
        """Count a step that was just queued; return whether it ended a block.

        Args:
            loss: scalar of this step, on the device.
            num_images: in this step's batch.
            num_skipped: scalar, steps skipped so far, on the device.
            steps_left: until the clock will be stopped; a remainder too short for a block joins the last one.
            hits: scalar, images of the epoch so far that were classified correctly, on the device (None if not known),
                and the number of those images.
        """
        self._num_steps += 1
        self._num_images += num_images
        if steps_left and (self._num_steps < self._steps_per_block or steps_left < self._steps_per_block):
            return False
        correct, num_seen = hits
        counted = num_skipped.new_full((), -1.0) if correct is None else correct.to(num_skipped.dtype)
        tally_3 = torch.stack((loss.float(), num_skipped, counted))
        if self.device.type == "cuda":
            # To pinned memory, in stream order: valid once the device has passed `end`, and without a wait.
            tally_3 = torch.empty(3, pin_memory=True).copy_(tally_3, non_blocking=True)
        end = Mark.now(self.device)
        if self.warming_up or not steps_left:
            # Nothing follows that the wait could delay; without it no wall time would include the last steps.
            end = end.passed()
        self.settle()
        self._pending = (self._start, end, tally_3, self._num_steps, self._num_images, self._epoch, num_seen)
        if self.warming_up or not steps_left:
            self.settle()
        self._num_steps, self._num_images, self._start = 0, 0, end
        return True

    def settle(self) -> None:
        """Read the block that was queued last; wait for the device if it has not finished it."""
        if self._pending is None:
            return
        start, end, tally_3, num_steps, num_images, epoch, num_seen = self._pending
        self._pending = None
        device_s = start.device_s_until(end)
        # Two clocks: a wall time below the device time comes from reading one of them a little later.
        wall_s = max(device_s, end.wall_s - self._passed_s) if end.is_timed else device_s
        last_loss, skipped, correct = tally_3.tolist()
        self.blocks.append(
            Block(
                epoch=epoch,
                num_steps=num_steps,
                num_images=num_images,
                num_skipped=round(skipped - self._skipped),
                began_s=self._passed_s,
                device_s=device_s,
                wall_s=wall_s,
                images_per_s=num_images / device_s,
                last_loss=last_loss,
                num_correct=None if correct < 0 else round(correct),
                num_seen=num_seen,
                calibrating=self._calibrating,
                steady=not self.warming_up,
            )
        )
        self._passed_s += wall_s
        self._skipped = skipped
        if self._calibrating:
            self._calibrate(num_steps, device_s)

    def _calibrate(self, num_steps: int, device_s: float) -> None:
        if device_s >= self.block_s or num_steps >= self.max_steps:
            self._calibrating = False
        else:
            # At most four times: the first steps also allocate and tune, so their time predicts the later ones badly.
            wanted = math.ceil(num_steps * min(4.0, 1.1 * self.block_s / device_s))
            self._steps_per_block = min(self.max_steps, max(num_steps + 1, wanted))
