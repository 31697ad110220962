"""Trainings made of formulas, each with what is wrong with it: noise, schedules and small test sets are nothing wrong.

`MADE` is the table: a name, what is wrong, and what makes the records of a run from a random generator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ampbench.schema.diagnosis import Records

MIB = 2**20
Rng = np.random.Generator
Make = Callable[[Rng], Records]


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A kind of training, of which a seed makes one."""

    name: str
    wrong: frozenset[str]
    """The kinds of diagnosis that are true of it."""
    make: Make


def seen(rng: Rng, accuracies: Sequence[float], num_images: int) -> list[float]:
    """Return what a test set of so many images shows of true accuracies: a binomial draw each."""
    return [float(rng.binomial(num_images, min(1.0, max(0.0, a))) / num_images) for a in accuracies]


def records(
    accuracies: Sequence[float] = (),
    losses: Sequence[float] = (),
    rates: Sequence[float] = (),
    levels: Sequence[float] = (),
    **cell: Any,
) -> Records:
    """Return the records of a run that ended well, with an evaluation in every epoch."""
    n = max(map(len, (accuracies, losses, rates, levels)), default=0)
    columns = {"test_accuracy": accuracies, "train_loss": losses, "learning_rate": rates, "memory_bytes": levels}
    epochs = [
        {"epoch": i + 1, **{name: (values[i] if len(values) else None) for name, values in columns.items()}}
        for i in range(n)
    ]
    plain: dict[str, Any] = {
        "status": "ok", "epochs": n, "num_classes": 10, "num_test_images": 10_000, "schedule": "cosine", "grad_clip": 0,
        "test_accuracy": accuracies[-1] if len(accuracies) else None, "learned": None, "compute_dtype": "fp32",
        "memory_instrument": "rss", "loss_scale": "none", "learning_rate": 0.1, "weights_dtype": "fp32",
    }  # fmt: skip
    return Records(cell=plain | cell, epochs=epochs)


def rising(n: int, top: float, *, chance: float = 0.1, speed: float = 4.0) -> list[float]:
    """Return accuracies that rise steeply at first and then flatten."""
    return [top - (top - chance) * math.exp(-speed * (i + 1) / n) for i in range(n)]


def falling(n: int, *, first: float = 2.3, last: float = 0.05) -> list[float]:
    """Return losses that fall."""
    return [last + (first - last) * math.exp(-4.0 * i / n) for i in range(n)]


def cosine(n: int) -> list[float]:
    """Return the learning rates of a cosine."""
    return [0.05 * (1 + math.cos(math.pi * i / n)) for i in range(n)]


def healthy(n: int, top: float, images: int, *, sd: float = 0.0, **cell: Any) -> Make:
    """Return what makes a training that learns, with noise of its own besides that of the test set."""

    def make(rng: Rng) -> Records:
        true = [a + sd * float(rng.standard_normal()) for a in rising(n, top, chance=1 / cell.get("num_classes", 10))]
        return records(seen(rng, true, images), falling(n), cosine(n), num_test_images=images, **cell)

    return make


def stepped(rng: Rng) -> Records:
    """Make a training whose rate falls at 60 and 80 % of 30 epochs: noisy before, calm and higher after."""
    true = [a + (0.03 if i < 18 else 0.004) * float(rng.standard_normal()) for i, a in enumerate(rising(30, 0.82))]
    true = [a + (0.09 if i >= 18 else 0.0) for i, a in enumerate(true)]
    rates = [0.1 * 0.1 ** ((i >= 18) + (i >= 24)) for i in range(30)]
    return records(seen(rng, true, 10_000), falling(30), rates, schedule="advanced")


def restarted(n: int) -> Make:
    """Return what makes a training with warm restarts at 10 and 30: it loses 10 to 20 points and regains them."""

    def make(rng: Rng) -> Records:
        rates, true, losses = [], [], []
        for i in range(n):
            since, length = (i, 10) if i < 10 else (i - 10, 20) if i < 30 else (i - 30, 40)
            rates.append(0.05 * (1 + math.cos(math.pi * since / length)))
            drop = (0.1 + 0.1 * rng.random()) * (1 - since / length) ** 2 if i >= 10 else 0.0
            true.append(rising(n, 0.93, speed=8)[i] - drop)
            losses.append(falling(n)[i] + 3 * drop)
        return records(seen(rng, true, 10_000), losses, rates, schedule="warm_restarts")

    return make


def outlying(rng: Rng) -> Records:
    """Make 60 good epochs with one bad evaluation."""
    true = rising(60, 0.93)
    true[int(rng.integers(30, 59))] = 0.6
    return records(seen(rng, true, 10_000), falling(60), cosine(60))


def dipping(rng: Rng) -> Records:
    """Make 20 epochs whose first four jump up and down."""
    true = rising(20, 0.9)
    true[1], true[3] = true[0] - 0.08, true[2] - 0.15
    return records(seen(rng, true, 10_000), falling(20), cosine(20))


def swinging(n: int, points: float, images: int, *, level: float = 0.6, rate: float = 0.1) -> Make:
    """Return what makes a training whose accuracy goes up and down by so many points, at a constant rate."""

    def make(rng: Rng) -> Records:
        up = rng.permutation([i % 2 for i in range(n)]) if n > 12 else [i % 2 for i in range(n)]
        true = [level + points / 200 * (1 if u else -1) * (0.9 + 0.2 * rng.random()) for u in up]
        if n > 12:  # shuffled: half of the neighbours are on the same side, so the swing is twice as large
            true = [level + 2 * (a - level) for a in true]
        return records(
            seen(rng, true, images), falling(n, last=0.8), [rate] * n, num_test_images=images, schedule="constant"
        )

    return make


def listed(*percents: float) -> Make:
    """Return what makes just these accuracies."""
    return lambda _: records([p / 100 for p in percents], falling(len(percents), last=1.0), [0.1] * len(percents))


def guessing(classes: int, images: int, n: int = 10, **cell: Any) -> Make:
    """Return what makes a training at chance, whose loss stays at ln K."""

    def make(rng: Rng) -> Records:
        losses = [math.log(classes) + 0.002 * float(rng.standard_normal()) for _ in range(n)]
        accuracies = seen(rng, [1 / classes] * n, images)
        return records(accuracies, losses, cosine(n), num_classes=classes, num_test_images=images, **cell)

    return make


def collapsed(rng: Rng) -> Records:
    """Make a training that falls back to chance in its last third, and stays there."""
    true = [*rising(20, 0.85), *[0.1] * 10]
    losses = [*falling(20), *[2.3] * 10]
    return records(seen(rng, true, 10_000), losses, [0.1] * 30, schedule="constant")


def grown(first: float, lowest: float, last: float, n: int = 20) -> Make:
    """Return what makes a training whose loss falls and rises again, with an accuracy that stays."""

    def make(rng: Rng) -> Records:
        half = n // 2
        down = [first + (lowest - first) * i / (half - 1) for i in range(half)]
        up = [lowest + (last - lowest) * (i + 1) / (n - half) for i in range(n - half)]
        return records(seen(rng, rising(n, 0.7), 10_000), [*down, *up], [0.1] * n, schedule="constant")

    return make


def remembering(
    n: int, a_epoch: float, *, at: float = 900.0, sd: float = 0.0, instrument: str = "rss", jump: float = 0.0
) -> Make:
    """Return what makes a training whose memory moves: MiB an epoch, a deviation, and one jump at a third."""

    def make(rng: Rng) -> Records:
        levels = [
            MIB * (at + a_epoch * i + sd * float(rng.standard_normal()) + (jump if i > n // 3 else 0)) for i in range(n)
        ]
        levels[0] = MIB * (at - 200)  # libraries come later
        accuracies = seen(rng, rising(n, 0.9), 10_000)
        return records(accuracies, falling(n), cosine(n), levels, memory_instrument=instrument)

    return make


def settling(rng: Rng) -> Records:
    """Make a training whose memory comes near to a level, ever more slowly."""
    levels = [MIB * (1200 - 400 * math.exp(-i / 3) + 2 * float(rng.standard_normal())) for i in range(20)]
    return records(seen(rng, rising(20, 0.9), 10_000), falling(20), cosine(20), levels)


def said(**cell: Any) -> Make:
    """Return what makes a healthy training of whose speed the record says something."""
    return lambda rng: records(seen(rng, rising(10, 0.9), 10_000), falling(10), cosine(10), **cell)


def standing_still(share: float, **cell: Any) -> Make:
    """Return what makes a training of which a step leaves a share of the weights unchanged."""

    def make(rng: Rng) -> Records:
        one = said(**cell)(rng)
        return Records(cell=one.cell, epochs=one.epochs, unmoved_share=share, unmoved_step=10)

    return make


def made(name: str, *wrong: str, by: Make) -> Made:
    """Return a row of the table."""
    return Made(name=name, wrong=frozenset(wrong), make=by)


PHASES = {"data_ms": 12.0, "forward_ms": 6.0, "backward_ms": 10.0, "update_ms": 2.0}

MADE = (
    made("200 epochs of VGG19", by=healthy(200, 0.93, 10_000, sd=0.004)),
    made("30 epochs", by=healthy(30, 0.9, 10_000, sd=0.01)),
    made("10 epochs, noisy", by=healthy(10, 0.78, 10_000, sd=0.02)),
    made("5 epochs, noisy", by=healthy(5, 0.7, 10_000, sd=0.02)),
    made("3 epochs", by=healthy(3, 0.5, 10_000, sd=0.01)),
    made("1 epoch", by=healthy(1, 0.4, 10_000)),
    made("digits: 360 test images", by=healthy(20, 0.96, 360, sd=0.005)),
    made("100 test images", by=healthy(30, 0.7, 100, sd=0.01)),
    made("60 test images, 50 epochs", by=healthy(50, 0.6, 60)),
    made("30 test images", by=healthy(15, 0.8, 30)),
    made("12 test images", by=healthy(12, 0.75, 12)),
    made("100 classes", by=healthy(50, 0.6, 10_000, sd=0.01, num_classes=100)),
    made("two classes", by=healthy(20, 0.75, 2000, sd=0.01, num_classes=2)),
    made("hard images: 22 % of ten classes", by=healthy(10, 0.22, 10_000, sd=0.005)),
    made("flat at its end for 100 epochs", by=healthy(100, 0.95, 10_000, sd=0.003)),
    made("a step schedule, noisy before its drops", by=stepped),
    made("warm restarts, 12 epochs", by=restarted(12)),
    made("warm restarts, 31 epochs", by=restarted(31)),
    made("warm restarts, 33 epochs", by=restarted(33)),
    made("warm restarts, 70 epochs", by=restarted(70)),
    made("one bad evaluation of 60", by=outlying),
    made("jumps in its first epochs", by=dipping),
    made("memory that is level", by=remembering(20, 0.0, sd=3.0)),
    made("memory that takes one step", by=remembering(20, 0.0, sd=2.0, jump=300.0)),
    made("memory of the C library, up and down", by=remembering(30, 0.0, sd=60.0)),
    made("memory on a GPU, level", by=remembering(12, 0.0, instrument="cuda_allocator")),
    made("memory that settles over its first epochs", by=settling),
    made("compute-bound", by=said(bound="compute", **PHASES)),
    made("at the power cap, which is normal", by=said(power_violation_share=0.9, num_invalid_blocks=1, num_blocks=40)),
    made("2 % at the thermal limit", by=said(thermal_violation_share=0.02)),
    made("a fifth of the weights does not move", by=standing_still(0.2)),
    made("stochastic rounding, where few weights move", by=standing_still(0.9, update="stochastic")),
    made("S4's example", "swings", by=listed(45.2, 38.9, 51.3, 33.1)),
    made("to and fro, back to chance", "swings", "learned nothing",
         by=listed(30.0, 9.7, 10.0, 10.0, 12.5, 35.3, 23.1, 10.3)),
    made("swings by 8 points", "swings", by=swinging(10, 8, 10_000)),
    made("swings by 10 points, 360 images", "swings", by=swinging(12, 10, 360, level=0.9)),
    made("swings by 16 points, 6 epochs", "swings", by=swinging(6, 16, 10_000)),
    made("swings by 40 points, 100 images", "swings", by=swinging(12, 40, 100)),
    made("swings by 20 points, 40 epochs", "swings", by=swinging(40, 20, 10_000)),
    made("swings by 30 points, 200 epochs", "swings", by=swinging(200, 30, 10_000, level=0.5)),
    made("swings by 60 points, 30 images", "swings", by=swinging(12, 60, 30, level=0.5)),
    made("broke down at its end", "broke down", by=listed(80, 90, 92, 60, 40, 35)),
    made("its last evaluation is far below", "broke down", by=listed(70, 85, 90, 91, 92, 93, 92, 60)),
    made("at chance among ten", "learned nothing", by=guessing(10, 10_000)),
    made("at chance among ten, 360 images", "learned nothing", by=guessing(10, 360)),
    made("at chance among two", "learned nothing", by=guessing(2, 1000)),
    made("at chance among a hundred", "learned nothing", by=guessing(100, 10_000)),
    made("at chance in one epoch", "learned nothing", by=guessing(10, 10_000, 1)),
    made("at chance in fp16", "learned nothing", by=guessing(10, 10_000, compute_dtype="fp16")),
    made("at chance, most updates skipped", "learned nothing", by=guessing(10, 10_000, num_steps=100, num_skipped=90)),
    made("learned, then fell back to chance", "learned nothing", "loss grew", by=collapsed),
    made("loss back to half", "loss grew", by=grown(2.3, 0.3, 1.6)),
    made("loss above its first value", "loss grew", by=grown(2.3, 2.2, 4.0)),
    made("loss a hundred times its lowest", "loss grew", by=grown(2.3, 0.01, 2.0)),
    made("a leak on a GPU, 2 MiB an epoch", "memory growing",
         by=remembering(12, 2.0, at=500.0, instrument="cuda_allocator")),
    made("a leak of 40 MiB an epoch", "memory growing", by=remembering(10, 40.0, sd=8.0)),
    made("a leak of 10 MiB an epoch, 60 epochs", "memory growing", by=remembering(60, 10.0, sd=20.0)),
    made("a leak of 100 MiB in 8 epochs", "memory growing", by=remembering(8, 100.0, sd=10.0)),
    made("starved by a loader", "starved", by=said(bound="input", loader="dataloader", num_workers=2, **PHASES)),
    made("starved by augmentation", "starved", by=said(bound="input", loader="device")),
    made("launch-bound", "launch-bound", by=said(bound="launch", compile="none", bound_because="idle for 40 %")),
    made("launch-bound and hot", "launch-bound", "throttled", by=said(bound="launch", thermal_violation_share=0.5)),
    made("at the thermal limit", "throttled", by=said(thermal_violation_share=0.6, temperature_c=88.0)),
    made("at the voltage limit", "throttled", by=said(reliability_violation_share=0.2)),
    made("most samples while it slowed down", "throttled", by=said(num_invalid_blocks=30, num_blocks=10)),
    made("ended as throttled", "throttled", by=lambda _: records(status="throttled", because="clocks held down")),
    made("diverged", "diverged", by=lambda _: records(
        status="diverged", because="the loss is nan at step 7", diverged_step=7, test_accuracy=0.1)),
    made("diverged in fp16", "diverged", by=lambda _: records(
        status="diverged", because="the loss is inf at step 3", diverged_step=3, compute_dtype="fp16")),
    made("bf16 weights that do not move", "lost updates", by=standing_still(0.8, weights_dtype="bf16")),
    made("fp32 weights that do not move", "lost updates", by=standing_still(0.6, weights_dtype="fp32")),
    made("ran out of memory", by=lambda _: records(status="oom", because="no memory")),
    made("only timed", by=lambda _: records(bound="memory")),
)  # fmt: skip
"""Every kind of training, healthy ones first."""
