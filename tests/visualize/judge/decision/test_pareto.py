"""The Pareto front: what is beaten, by what, and that nothing is beaten where the intervals do not say so."""

from __future__ import annotations

import pytest

from ampbench.visualize.judge.decision.pareto import front_of
from ampbench.visualize.judge.decision.standing import standings
from ampbench.visualize.judge.verdict.verdict import judge
from ampbench.visualize.read.frame import read
from tests.visualize.conftest import cell

GIB = 2**30
WATCHED = {"energy_instrument": "energy_counter"}


@pytest.fixture
def beaten(folder):
    """Write three rounds of each (recipe, batch size): (images/s, GiB, J/image); return what beats each."""

    def write(measured, spread=0.002, by=("speed", "memory", "energy", "accuracy"), accuracies=None, wander=0, **over):
        for (recipe, size), (speed, gib, joules) in measured.items():
            for number in range(3):
                noise = 1 + spread * (number - 1) * (1 if recipe == "fp32" else -1)
                about = over | {"images_per_s": speed * noise, "steady_peak_bytes": int(gib * GIB * noise**wander)}
                about |= WATCHED | {"joules_per_image": joules and joules / noise}
                if accuracies:
                    value = accuracies[recipe] + 0.0001 * number
                    folder.add(cell(recipe, size, number), **about, test_accuracy=value)
                else:
                    folder.add(cell(recipe, size, epochs=0, round=number), **about)
        results = read(folder.write())
        front = front_of(results, standings(results, judge(results.cells)), by)
        return {
            f"{point.standing.recipe} {point.standing.batch_size}": [
                f"{one.recipe} {one.batch_size}" for one in point.dominated_by
            ]
            for point in front
        }

    return write


def test_what_is_worse_in_everything_is_beaten(beaten):
    found = beaten({("fp32", 128): (1000.0, 4.0, 1.0), ("bf16_amp", 128): (2000.0, 3.0, 0.5)})
    assert found == {"fp32 128": ["bf16_amp 128"], "bf16_amp 128": []}


def test_a_trade_off_beats_nobody(beaten):
    assert not any(beaten({("fp32", 128): (1000.0, 3.0, None), ("bf16_amp", 128): (2000.0, 4.0, None)}).values())


def test_noise_beats_nobody(beaten):
    speeds = {("fp32", 128): (1000.0, 4.0, None), ("bf16_amp", 128): (1050.0, 3.0, None)}
    assert not any(beaten(speeds, spread=0.3).values())


def test_batch_sizes_are_compared_too(beaten):
    found = beaten({("fp32", 64): (1000.0, 4.0, None), ("bf16_amp", 128): (2000.0, 3.5, None)})
    assert found["fp32 64"] == ["bf16_amp 128"]


def test_a_front_of_two_axes_ignores_the_others(beaten):
    measured = {("fp32", 128): (1000.0, 4.0, 0.4), ("bf16_amp", 128): (2000.0, 3.0, 0.8)}
    assert beaten(measured, by=("speed", "memory"))["fp32 128"] == ["bf16_amp 128"]


def test_a_loss_of_accuracy_keeps_the_reference_on_the_front(beaten):
    measured = {("fp32", 128): (1000.0, 4.0, None), ("fp16", 128): (2000.0, 3.0, None)}
    assert beaten(measured, accuracies={"fp32": 0.93, "fp16": 0.91})["fp32 128"] == []


def test_an_equal_accuracy_does_not(beaten):
    measured = {("fp32", 128): (1000.0, 4.0, None), ("bf16_amp", 128): (2000.0, 3.0, None)}
    assert beaten(measured, accuracies={"fp32": 0.93, "bf16_amp": 0.93})["fp32 128"] == ["bf16_amp 128"]


def test_an_allocators_peak_that_is_3_percent_lower_beats(beaten):
    measured = {("fp32", 128): (1000.0, 1.00, None), ("bf16_amp", 128): (1000.0, 0.97, None)}
    assert beaten(measured, by=("memory",))["fp32 128"] == ["bf16_amp 128"]


def test_by_the_resident_set_one_range_below_the_other_is_not_enough(beaten):
    measured = {("fp32", 128): (1000.0, 1.00, None), ("bf16_amp", 128): (2000.0, 0.93, None)}
    found = beaten(measured, spread=0.02, by=("memory",), wander=1, memory_instrument="rss")
    assert not any(found.values())


def test_of_very_many_points_those_below_the_front_are_still_beaten(beaten):
    sizes = range(1, 31)
    measured = {("fp32", size): (1000.0 + size, 4.0 + size, None) for size in sizes}
    measured |= {("bf16_amp", 16): (2000.0, 3.0, None)}
    found = beaten(measured, by=("speed", "memory"))
    assert found.pop("bf16_amp 16") == []
    assert all(by == ["bf16_amp 16"] for by in found.values())
