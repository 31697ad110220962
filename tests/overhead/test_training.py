"""P1 to P3: what the loop, the recipe and the data cost against loops written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.plan.cell import Cell
from bench.plan.experiment import Measure
from bench.plan.recipe import RECIPES
from bench.train.augment import Augment, Normalize
from bench.train.images import Images, load_images
from bench.train.training import Training
from bench.worker.session import Session
from tests.overhead.interleave import compare
from tests.overhead.loops import AsPil, AsUsual, ByHand

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("synthetic", 32)


def harness(model: str, recipe: str, images: Images) -> Callable[[int], object]:
    """Return our own loop with all its recording, as a function of the number of steps."""
    cell = Cell(model=model, data="synthetic", precision=RECIPES[recipe], batch_size=128, epochs=1)
    session = Session(cell, Measure(), CPU, lambda **_: None)
    session.row["train_s"] = 0.0
    training = Training(cell, images, CPU)
    session.run(training, 0, num_steps=training.steps_per_epoch)

    return lambda num_steps: session.run(training, 0, num_steps=num_steps)


@pytest.mark.parametrize("recipe", ["fp32", "bf16_amp"])
def test_p1_the_harness_is_as_fast_as_a_loop_by_hand(
    recipe: str, images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    steps = len(images.train_y_N) // 128
    by_hand = ByHand("SmallCifarNet", images, batch_size=128, bf16_amp=recipe == "bf16_amp")
    ours = harness("SmallCifarNet", recipe, images)
    result = benchmark.pedantic(
        compare, args=(lambda: ours(steps), lambda: by_hand.run(steps)), kwargs={"rounds": 12}, rounds=1
    )
    judge(f"P1 harness / by hand, SmallCifarNet {recipe} b128", result[0], at_least=0.985, control=result[1])


@pytest.mark.parametrize(("recipe", "target"), [("fp32", 1.05), ("bf16_amp", 1.7)])
def test_p2_ours_is_faster_than_the_usual_script(
    recipe: str, target: float, images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    usual = AsUsual("ResNet18", images, batch_size=128)
    ours = harness("ResNet18", recipe, images)
    steps = len(images.train_y_N) // 128
    # An epoch each: the usual script starts its workers anew every epoch, and pays for it.
    result = benchmark.pedantic(
        compare, args=(lambda: ours(steps), lambda: usual.run(steps)), kwargs={"rounds": 3}, rounds=1
    )
    judge(f"P2 ours {recipe} / usual fp32 script, ResNet18 b128", result[0], at_least=target, control=result[1])


def test_p3_augmentation_on_tensors_is_faster_than_pil_on_one_core(
    images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    normalize = Normalize(images.mean, images.std, dtype=torch.float32, memory_format=torch.channels_last, device=CPU)
    augment = Augment(("crop", "flip"), normalize, torch.Generator().manual_seed(0))
    pil = AsPil(images)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    order = torch.randperm(len(images.train_y_N))

    def ours() -> None:
        for chosen in order.split(128):
            augment(images.train_x_NCHW[chosen])

    def theirs() -> None:
        for chosen in order.split(128):
            torch.stack([pil[i][0] for i in chosen.tolist()])

    try:
        result = benchmark.pedantic(compare, args=(ours, theirs), kwargs={"rounds": 8}, rounds=1)
    finally:
        torch.set_num_threads(threads)
    judge("P3 augment and batch / torchvision on PIL, one core", result[0], at_least=4.0, control=result[1])
