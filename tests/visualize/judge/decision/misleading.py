"""How result sets that mislead are made, by the table of `test_misleading.py`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ampbench.visualize.judge.decision.wishes import Wishes
from tests.visualize.conftest import Folder, cell

Make = Callable[[Folder], None]


@dataclass(frozen=True, kw_only=True)
class Misleading:
    """A set of results that looks like something it is not."""

    looks: str
    """How it misleads."""
    make: Make
    truth: str
    """The advice that is right: `train RECIPE at BATCH`, or `stay RECIPE`."""
    says: str
    """Words of the answer."""
    wishes: Wishes | None = None

    def __str__(self) -> str:
        return self.looks


def pairs(
    folder: Folder,
    recipe: str = "bf16_amp",
    *,
    ratios: tuple[float, ...] = (1.8, 1.81, 1.79),
    points: tuple[float, ...] | None = None,
    ours: dict | None = None,
    theirs: dict | None = None,
    batch_size: int = 128,
    base: float = 1000.0,
) -> None:
    """Add a process of fp32 and of a recipe for each ratio: timings, or trainings whose accuracies differ by points."""
    numbers = range(len(points or ratios))
    for number, ratio in zip(numbers, itertools.cycle(ratios), strict=False):
        for name, speed, over in (("fp32", base, theirs), (recipe, base * ratio, ours)):
            trained = points is not None
            made = cell(name, batch_size, number if trained else 0, round=0 if trained else number, epochs=20 * trained)
            accuracy = {}
            if points is not None:
                value = 0.93 + 0.0003 * number + (points[number] / 100 if name == recipe else 0.0)
                accuracy = {"test_accuracy": value, "num_classes": 10, "learned": True}
            folder.add(made, **{"images_per_s": speed} | accuracy | (over or {}))


def one(folder: Folder, recipe: str, speed: float, *, number: int = 0, status: str = "ok", **over: object) -> None:
    """Add one timing."""
    batch_size = int(str(over.pop("batch_size", 128)))
    folder.add(cell(recipe, batch_size, 0, epochs=0, round=number), status, **{"images_per_s": speed} | over)


def apart_at_512(status: str | None) -> Make:
    def make(folder: Folder) -> None:
        pairs(folder, ratios=(1.0, 1.001, 0.999), batch_size=256)
        for number in range(3):
            if status:
                one(folder, "fp32", 0.0, number=number, status=status, batch_size=512, images_per_s=None)
            one(folder, "bf16_amp", 1500.0 + number, number=number, batch_size=512)

    return make


def always_second(ratio: float, drift: float) -> Make:
    """Three pairs in which fp32 runs first, on a machine that is `drift` times as fast from one run to the next."""

    def make(folder: Folder) -> None:
        for number in range(3):
            for order, (name, times) in enumerate((("fp32", 1.0), ("bf16_amp", ratio / drift))):
                started = datetime(2026, 1, 2, 2 * number + order, tzinfo=UTC)
                one(folder, name, 1000.0 * times * drift ** (2 * number + order), number=number, started_at=started)

    return make


def harm_at_64(folder: Folder) -> None:
    pairs(folder, "fp16", points=(-5.0, -5.1, -5.2, -4.9, -5.0, -5.1), batch_size=64)
    pairs(folder, "fp16", points=(-0.2, 0.1, -0.3), base=1200.0)


def diverged_at_64(folder: Folder) -> None:
    pairs(folder, "fp16")
    for number in range(3):
        one(folder, "fp32", 900.0, number=number, batch_size=64)
        one(folder, "fp16", 0.0, number=number, batch_size=64, status="diverged", images_per_s=None)


def six_rounds_of_one_seed(folder: Folder) -> None:
    for number in range(6):
        for name, speed, accuracy in (("fp32", 1000.0, 0.93), ("bf16_amp", 1800.0, 0.9255)):
            over = {"images_per_s": speed + number, "test_accuracy": accuracy, "num_classes": 10, "learned": True}
            folder.add(cell(name, 128, 0, round=number), **over)


def half_never_reach(folder: Folder) -> None:
    pairs(folder, points=EQUAL, ours={"time_to_accuracy_s": 500.0}, theirs={"time_to_accuracy_s": 1000.0})
    for row in [row for row in folder.rows["cells"] if row["precision"] == "bf16_amp"][:3]:
        row["time_to_accuracy_s"] = None


def one_run_skips(folder: Folder) -> None:
    pairs(folder, "fp16_amp_scaled", ours={"num_steps": 100, "num_skipped": 0})
    folder.rows["cells"][1]["num_skipped"] = 50


EQUAL = (0.0, 0.02, -0.02, 0.01, -0.01, 0.0)
CHANCE = {"test_accuracy": 0.1, "num_classes": 10, "learned": False}


def collapsed_without_partners(folder: Folder) -> None:
    pairs(folder, points=EQUAL[:3])
    for seed in range(3, 10):
        made = cell("bf16_amp", 128, seed)
        folder.add(made, images_per_s=1800.0, test_accuracy=0.85, num_classes=10, learned=True)


def other_switches(folder: Folder) -> None:
    pairs(folder, ours={"switches": '{"OMP_PROC_BIND": "true"}'}, theirs={"switches": "{}"})


def one_hung_round(folder: Folder) -> None:
    pairs(folder, ratios=(1.0, 1.0, 20.0))


def throttled_reference(folder: Folder) -> None:
    for number in range(3):
        one(folder, "fp32", 1000.0, number=number, status="throttled", because="94 % of the blocks were too hot")
        one(folder, "fp16_amp", 900.0, number=number)
        one(folder, "bf16_amp", 1100.0, number=number)


def out_of_memory_at_512(folder: Folder) -> None:
    pairs(folder, ratios=(1.8, 1.81, 1.79), batch_size=256)
    for number in range(3):
        one(folder, "fp32", 0.0, number=number, status="oom", batch_size=512, images_per_s=None)
        one(folder, "bf16_amp", 2600.0 + 10 * number, number=number, batch_size=512)


def other_seeds(folder: Folder) -> None:
    for seed in range(3):
        folder.add(cell("fp32", 128, seed), images_per_s=1000.0 + seed, test_accuracy=0.90, num_classes=10)
        folder.add(cell("bf16_amp", 128, 10 + seed), images_per_s=1800.0 + seed, test_accuracy=0.95, num_classes=10)


def diverged_reference(folder: Folder) -> None:
    for seed in range(3):
        folder.add(cell("fp32", 128, seed), "diverged")
        folder.add(cell("bf16_amp", 128, seed), images_per_s=1800.0)
        folder.add(cell("fp16_amp", 128, seed), images_per_s=1500.0)


def failed_reference(folder: Folder) -> None:
    for seed in range(3):
        folder.add(cell("fp32", 128, seed), "failed")
        folder.add(cell("bf16_amp", 128, seed), images_per_s=1800.0)
        folder.add(cell("fp16_amp", 128, seed), images_per_s=1500.0)


def one_failed(folder: Folder) -> None:
    pairs(folder, points=EQUAL)
    folder.add(cell("fp32", 128, 9), images_per_s=1000.0, test_accuracy=0.93)
    folder.add(cell("bf16_amp", 128, 9), "diverged")


def large_batch_learns_less(folder: Folder) -> None:
    pairs(folder, points=EQUAL, batch_size=64)
    low = {"test_accuracy": 0.80}
    pairs(folder, points=EQUAL, batch_size=2048, base=3000.0, ours=low, theirs=low)


def only_warm(folder: Folder) -> None:
    pairs(folder, ratios=(1.3, 1.0, 1.01))  # fp32 opened the first round, on a board that was still cold


def two_boards(ratio: float) -> Make:
    """A recipe a board from two shells, until one shell was done and took over the last pair."""

    def make(folder: Folder) -> None:
        for number in range(3):
            board = "GPU-1" if number < 2 else "GPU-2"
            one(folder, "fp32", 1000.0, number=number, board=board)
            one(folder, "bf16_amp", ratio * (1000.0 + number), number=number, board="GPU-2")

    return make


def two_machines(folder: Folder) -> None:
    for number in range(3):
        one(folder, "fp32", 1000.0, number=number)
        one(folder, "bf16_amp", 1800.0, number=number, environment_id="e2", machine="Other GPU")


def big_memory(folder: Folder) -> None:
    size = {"steady_peak_bytes": 30 * 2**30}
    pairs(folder, ours=size, theirs={"steady_peak_bytes": 20 * 2**30})


def only_sixteen_bit(folder: Folder) -> None:
    for number in range(3):
        one(folder, "fp16", 1000.0, number=number)
        one(folder, "bf16_amp", 2000.0, number=number)


ON_CPU = {"memory_instrument": "rss"}


def resident_sets(*mib: int) -> Make:
    """Return timings of equal speeds whose resident sets are 100 MiB in fp32 and these in bf16_amp."""

    def make(folder: Folder) -> None:
        for number, size in enumerate(mib):
            one(folder, "fp32", 1000.0, number=number, steady_peak_bytes=100 * 2**20, **ON_CPU)
            one(folder, "bf16_amp", 1000.0, number=number, steady_peak_bytes=size * 2**20, **ON_CPU)

    return make


def seeds_as_wide_as_fp32s(folder: Folder) -> None:
    """Trainings in which one of both recipes, in turn, ends 1.5 points lower: so do two seeds of fp32."""
    for seed in range(6):
        for name, speed, low in (("fp32", 1000.0, seed % 2), ("bf16_amp", 1800.0, 1 - seed % 2)):
            over = {"test_accuracy": 0.93 - 0.015 * low, "num_classes": 10, "learned": True}
            folder.add(cell(name, 128, seed), images_per_s=speed + seed, **over)


def one_after_the_other(ratio: float, *, in_turns: bool = False, **over: object) -> Make:
    """Return timings that took turns, or all of fp32 first."""

    def make(folder: Folder) -> None:
        for number in range(3):
            for place, (name, speed) in enumerate((("fp32", 1000.0), ("bf16_amp", 1000.0 * ratio))):
                minute = 2 * number + place if in_turns else number + 3 * place
                started = {"started_at": datetime(2026, 1, 2, 0, minute, tzinfo=UTC), "order": minute}
                one(folder, name, speed + number, number=number, **started | over)

    return make
