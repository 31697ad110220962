"""Histories of the allocator made by hand, in torch's format, whose true results are known.

`python -m tests.support.snapshots` writes the fixture.
"""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).parent / "fixtures" / "snapshot.pickle"
TORCH = "/home/somebody/.venv/lib/python3.11/site-packages/torch/"

Frames = list[dict[str, Any]]


def stack(*calls: str) -> Frames:
    """Return frames, innermost first, from `path:line function`; `torch/...` lies in site-packages."""
    frames = []
    for call in calls:
        place, _, name = call.partition(" ")
        path, _, line = place.rpartition(":")
        filename = TORCH + path.removeprefix("torch/") if path.startswith("torch/") else f"/home/somebody/amp/{path}"
        frames.append({"filename": filename, "line": int(line), "name": name})
    return frames


STEP = ("bench/train/step.py:39 train_step", "bench/worker/measurement.py:236 run")
FORWARD = stack(
    "torch/nn/modules/conv.py:553 _conv_forward",
    "torch/nn/modules/conv.py:558 forward",
    "torch/nn/modules/container.py:250 forward",
    "models/vgg.py:38 forward",
    *STEP,
)
POOL = stack("torch/nn/functional.py:830 _max_pool2d", "models/vgg.py:38 forward", *STEP)
BACKWARD: Frames = []
ZERO_GRAD = stack("torch/_compile.py:53 inner", "torch/optim/optimizer.py:1004 zero_grad", *STEP)
OPTIMIZER = stack("torch/optim/sgd.py:351 _multi_tensor_sgd", "torch/optim/optimizer.py:517 wrapper", *STEP)
AUTOCAST_EXIT = stack("torch/amp/autocast_mode.py:430 __exit__", *STEP)
BATCH = stack("bench/train/augmentation/augment.py:60 __call__", "bench/train/training.py:140 batches", *STEP)


class Allocator:
    """Allocates and frees addresses, and records the same events as torch."""

    def __init__(self) -> None:
        self.trace: list[dict[str, Any]] = []
        self.blocks: dict[int, tuple[int, Frames]] = {}
        """Live: address -> size and stack."""
        self.free: list[int] = []
        """Addresses for the next allocations, the last one first: torch hands them out again too."""
        self.end = 0x7F0000000000
        self.time_us = 1_700_000_000_000_000

    def event(self, action: str, size: int, frames: Frames, **place: int) -> None:
        self.time_us += 10
        self.trace.append(
            {"action": action, "size": size, "stream": 0, "time_us": self.time_us, "frames": frames, **place}
        )

    def before(self, size: int) -> int:
        """Allocate without an event: the block was live before the recording."""
        address = self.address()
        self.blocks[address] = (size, [])
        return address

    def alloc(self, size: int, frames: Frames) -> int:
        address = self.address()
        self.blocks[address] = (size, frames)
        self.event("alloc", size, frames, addr=address)
        return address

    def release(self, address: int, frames: Frames) -> None:
        """Ask for a free, and complete it."""
        self.event("free_requested", self.blocks[address][0], frames, addr=address)
        self.complete(address, frames)

    def complete(self, address: int, frames: Frames) -> None:
        size, _ = self.blocks.pop(address)
        self.event("free_completed", size, frames, addr=address)
        self.free.append(address)

    def fail(self, size: int, device_free: int) -> None:
        self.event("oom", size, FORWARD, device_free=device_free)

    def address(self) -> int:
        if self.free:
            return self.free.pop()
        self.end += 1 << 21
        return self.end

    def snapshot(self, device: int = 0) -> dict[str, Any]:
        blocks = [
            {"address": a, "size": -(-n // 512) * 512, "requested_size": n, "state": "active_allocated", "frames": f}
            for a, (n, f) in self.blocks.items()
        ]
        empty = [
            {"address": a, "size": 512 * (i + 1), "requested_size": 0, "state": "inactive", "frames": []}
            for i, a in enumerate(self.free)
        ]
        segment = {"device": device, "address": 0x7F0000000000, "stream": 0, "blocks": blocks + empty}
        traces: list[list[dict[str, Any]]] = [[] for _ in range(device)] + [self.trace]
        return {"segments": [segment], "device_traces": traces, "allocator_settings": {}, "external_annotations": []}


WEIGHT, BIAS, MOMENTUM, ACTIVATION, CAST, WORK, GRADIENT = 4096, 64, 4096, 9000, 2048, 1000, 4096


def steps(num_steps: int = 2, *, fails: bool = False) -> tuple[Allocator, dict[int, str]]:
    """Return an allocator after a few steps of a network under autocast, and its tensors at the end.

    Each step zeroes the gradient of the one before and runs two layers, forward and backward; the peak is
    in the backward pass. With `fails`, a further forward pass runs out of memory.
    """
    memory = Allocator()
    weight, momentum = memory.before(WEIGHT), memory.before(MOMENTUM)
    memory.before(12345)
    gradient = memory.before(GRADIENT)
    known = {weight: "weights", momentum: "optimizer state"}
    for _ in range(num_steps):
        batch = memory.alloc(700, BATCH)
        memory.release(gradient, ZERO_GRAD)
        cast, bias = memory.alloc(CAST, FORWARD), memory.alloc(BIAS, FORWARD)
        first = memory.alloc(ACTIVATION, FORWARD)
        memory.release(memory.alloc(WORK, FORWARD), FORWARD)
        second = memory.alloc(ACTIVATION + 8, POOL)
        memory.release(bias, AUTOCAST_EXIT)
        of_activation = memory.alloc(ACTIVATION, BACKWARD)
        gradient = memory.alloc(GRADIENT, BACKWARD)
        for address in (second, of_activation, first, cast):
            memory.release(address, BACKWARD)
        memory.release(memory.alloc(300, OPTIMIZER), OPTIMIZER)
        memory.release(batch, stack(*STEP))
    known[gradient] = "gradients"
    if fails:
        held = memory.alloc(ACTIVATION, FORWARD)
        memory.fail(1 << 30, 4242)
        memory.release(held, stack(*STEP))
    return memory, known


def random_history(num_events: int, seed: int) -> Allocator:
    """Return an allocator with events of all kinds in random order; some frees wait for their completion."""
    rng = random.Random(seed)
    memory = Allocator()
    live = [memory.before(rng.randrange(1, 10_000)) for _ in range(10)]
    waiting: list[int] = []
    stacks = [FORWARD, POOL, BACKWARD, OPTIMIZER, BATCH]
    while len(memory.trace) < num_events:
        choice = rng.random()
        if choice < 0.4 or not live:
            live.append(memory.alloc(rng.randrange(1, 10_000), rng.choice(stacks)))
        elif choice < 0.6:
            memory.release(live.pop(rng.randrange(len(live))), rng.choice(stacks))
        elif choice < 0.7:
            address = live.pop(rng.randrange(len(live)))
            memory.event("free_requested", memory.blocks[address][0], BACKWARD, addr=address)
            waiting.append(address)
        elif choice < 0.9 and waiting:
            memory.complete(waiting.pop(0), BACKWARD)
        else:
            memory.event(rng.choice(["segment_alloc", "segment_free", "snapshot"]), 1 << 20, FORWARD, addr=1)
    return memory


if __name__ == "__main__":
    FIXTURE.parent.mkdir(exist_ok=True)
    FIXTURE.write_bytes(pickle.dumps(steps(fails=True)[0].snapshot(), protocol=4))
