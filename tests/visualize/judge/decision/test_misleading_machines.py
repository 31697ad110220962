"""Folders of several machines that mislead whoever pools them, with the truth on each machine beside them.

Groups are whole on one machine each, as a cluster leaves them: no leave is asked, and nothing is compared across.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from ampbench.visualize.judge.answer.answer import answers
from ampbench.visualize.judge.answer.by_machine import first_lines
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.decision.wishes import Wishes
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import read
from tests.visualize.conftest import Folder, cell

OLD = {"environment_id": "e1", "machine": "Old GPU"}
NEW = {"environment_id": "e2", "machine": "New GPU"}
NEWER_TORCH = {"environment_id": "e3", "machine": "Old GPU", "torch": "2.16.0"}
CPU = {"environment_id": "e4", "machine": "EPYC, 2 cores", "memory_instrument": "rss"}


def timings(
    folder: Folder, seed: int, ratio: float, on: dict, *, base: float = 1000.0, batch: int = 128, noise: float = 0.002,
    **ours: object,
) -> None:  # fmt: skip
    """Add a group: three rounds of fp32 and of bf16_amp, on one machine."""
    rng = np.random.default_rng([seed, batch])
    for number in range(3):
        for name, times in (("fp32", 1.0), ("bf16_amp", ratio)):
            speed = base * times * np.exp(noise * rng.standard_normal())
            over = {"images_per_s": speed} | (ours if name == "bf16_amp" else {}) | on
            folder.add(cell(name, batch, seed, epochs=0, round=number), **over)


def trainings(folder: Folder, seeds: range, points: float, on: dict) -> None:
    """Add trainings of both recipes whose accuracies differ by so many points."""
    for seed in seeds:
        for name, speed, apart in (("fp32", 1000.0, 0.0), ("bf16_amp", 1800.0, points + 0.01 * (seed % 3))):
            accuracy = 0.93 + 0.0003 * (seed % 4) + apart / 100
            known = {"test_accuracy": accuracy, "num_classes": 10, "learned": True}
            folder.add(cell(name, 128, seed), images_per_s=speed + seed, **known, **on)


def one_equal_one_faster(folder: Folder) -> None:
    timings(folder, 0, 1.0, OLD)
    timings(folder, 1, 1.8, NEW)


def batches_apart(folder: Folder) -> None:
    timings(folder, 0, 1.0, OLD, batch=64)
    timings(folder, 0, 1.0, NEW, batch=512, base=5000.0)


def accuracies_apart(folder: Folder) -> None:
    trainings(folder, range(6), -2.0, OLD)
    trainings(folder, range(6, 12), 0.0, NEW)


def quiet_and_noisy(folder: Folder) -> None:
    for batch in (64, 128):
        timings(folder, 0, 1.05, OLD, batch=batch, noise=0.2)
    timings(folder, 1, 1.05, NEW)


def torches_apart(folder: Folder) -> None:
    timings(folder, 0, 1.0, OLD)
    timings(folder, 1, 1.8, NEWER_TORCH)


def out_of_memory_on_one(folder: Folder) -> None:
    timings(folder, 0, 1.8, OLD, batch=128)
    timings(folder, 1, 1.8, NEW, batch=512)
    for name in ("fp32", "bf16_amp"):
        folder.add(cell(name, 512, 2, epochs=0), "oom", images_per_s=None, **OLD)


def nothing_on_one(folder: Folder) -> None:
    timings(folder, 0, 1.8, NEW)
    for name in ("fp32", "bf16_amp"):
        folder.add(cell(name, 128, 1, epochs=0), "crashed", **OLD)


def two_instruments(folder: Folder) -> None:
    timings(folder, 0, 1.0, NEW, steady_peak_bytes=700 * 2**20)
    timings(folder, 1, 1.0, CPU | {"steady_peak_bytes": 5000 * 2**20})


@dataclass(frozen=True, kw_only=True)
class Case:
    """A folder of two machines."""

    looks: str
    make: Callable[[Folder], None]
    truth: dict[str, str]
    """Machine -> the advice that is right on it."""
    says: tuple[str, ...]
    """Words of the first lines or of an answer."""
    wishes: Wishes | None = None


# fmt: off
TABLE = [
    Case(looks="1.34 times as fast in the mean, and on no machine", make=one_equal_one_faster,
         truth={"Old GPU": "stay fp32", "New GPU": "train bf16_amp"},
         says=("VGG19: stay with fp32 on Old GPU; train in bf16_amp at batch 128 on New GPU.",
               "of 2 seeds at batch 128, 1 ran here and 1 on New GPU, which does not count here")),
    Case(looks="bf16_amp at 512 five times as fast as fp32 at its best, which ran on the old machine",
         make=batches_apart, truth={"Old GPU": "stay fp32", "New GPU": "stay fp32"},
         says=("VGG19: stay with fp32 on both.", "batch 512 ran only on New GPU", "batch 64 ran only on Old GPU")),
    Case(looks="1 point of accuracy lost in the mean: 2 on one machine, none on the other", make=accuracies_apart,
         truth={"Old GPU": "stay fp32", "New GPU": "train bf16_amp"},
         says=("loses 2.0 points of test accuracy in 6 seeds", "as accurate within 0.3 points in 6 seeds")),
    Case(looks="5 % that noise hides on one machine and shows on the other", make=quiet_and_noisy,
         truth={"Old GPU": "stay fp32", "New GPU": "train bf16_amp"}, says=("within the noise",)),
    Case(looks="one machine by its name, with two versions of torch", make=torches_apart,
         truth={"Old GPU with torch 2.15.0": "stay fp32", "Old GPU with torch 2.16.0": "train bf16_amp"},
         says=("2 environments: Old GPU with torch 2.15.0 (6 cells) and Old GPU with torch 2.16.0 (6 cells).",)),
    Case(looks="out of memory at 512, on the machine that is not asked about", make=out_of_memory_on_one,
         truth={"Old GPU": "train bf16_amp", "New GPU": "train bf16_amp"},
         says=("train in bf16_amp at batch 128 on Old GPU; train in bf16_amp at batch 512 on New GPU",)),
    Case(looks="a machine on which every cell crashed", make=nothing_on_one,
         truth={"Old GPU": "none ", "New GPU": "train bf16_amp"},
         says=("train in bf16_amp at batch 128 on New GPU; nothing can be advised on Old GPU",)),
    Case(looks="a seventh of the memory, by another instrument on another machine", make=two_instruments,
         truth={"New GPU": "train bf16_amp", "EPYC, 2 cores": "stay fp32"}, says=("by the allocator",),
         wishes=Wishes(want="memory")),
]
# fmt: on


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.looks)
def test_each_machine_is_answered_by_its_own_cells(case: Case, folder: Folder) -> None:
    case.make(folder)
    results = read(folder.write())
    found = answers(results, standings(results, judge(results.cells)), case.wishes)
    said = "\n".join(
        [*first_lines(results, found), *(t for a in found for t in (a.headline, *(line.text for line in a.lines)))]
    )
    assert {one.machine: f"{one.action} {one.recipe}" for one in found} == case.truth, said
    assert not [words for words in case.says if words not in said], said


@pytest.mark.parametrize("alone", ["Old GPU", "New GPU"])
def test_a_machine_has_the_numbers_that_it_has_alone(alone: str, folder: Folder) -> None:
    for seed in range(4):
        timings(folder, seed, 1.1 + 0.1 * (seed % 2), (OLD, NEW)[seed % 2], noise=(0.05, 0.001)[seed % 2])
    path = folder.write()
    whole = {v.subject: v for v in judge(read(path).cells)}
    (own,) = judge(read(path, only=[f"machine={alone}"]).cells)
    assert whole[f"VGG19 on {alone}"] == own


def test_five_machines_are_named_with_their_cells(folder: Folder) -> None:
    for i in range(5):
        timings(folder, i, 1.8, {"environment_id": f"e{i}", "machine": f"GPU {i}"})
    results = read(folder.write())
    first, second = first_lines(results, answers(results, standings(results, judge(results.cells))))
    assert first == (
        "5 machines: GPU 0 (6 cells), GPU 1 (6 cells), GPU 2 (6 cells), GPU 3 (6 cells) and GPU 4 (6 cells). Each is "
        "answered by itself, and nothing is compared across them."
    )
    assert second == "VGG19: train in bf16_amp at batch 128 on all 5."


def test_one_machine_has_no_first_lines(folder: Folder) -> None:
    timings(folder, 0, 1.8, OLD)
    results = read(folder.write())
    (found,) = answers(results, standings(results, judge(results.cells)))
    assert first_lines(results, [found]) == []
    assert found.headline == "VGG19 on Old GPU: train in bf16_amp at batch 128."
