"""What loop, recipe, data and numerics probe cost beside loops written by hand, on the GPU if there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.protocol import MeasurementProtocol
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.augmentation.augment import Augment, Normalize
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.training import Training
from ampbench.bench.worker.measurement import Measurement
from ampbench.bench.worker.numerics_probe import NumericsProbe
from ampbench.bench.worker.timing.stepping import Stepping
from ampbench.bench.worker.timing.timing import Report
from tests.overhead.interleave import compare
from tests.overhead.loops import AsPil, AsUsual, ByHand

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = pytest.mark.skipif(DEVICE.type == "cpu", reason="a target for GPUs")
ON_CPU = pytest.mark.skipif(DEVICE.type == "cuda", reason="a target for CPUs")
BATCH_SIZE = 128


@pytest.fixture(scope="module")
def images() -> Images:
    """An epoch that lasts: on a GPU 2,048 images are gone in milliseconds, and its fixed cost would be the ratio."""
    images = load_images("synthetic", 32)
    times = 16 if DEVICE.type == "cuda" else 1
    return dataclasses.replace(
        images, train_x_NCHW=images.train_x_NCHW.repeat(times, 1, 1, 1), train_y_N=images.train_y_N.repeat(times)
    )


def harness(
    model: str, recipe: str, images: Images, *, num_samples: int = 0, report: Report = lambda **_: None
) -> Callable[[int], float]:
    """Return our own loop with all its recording, as a function of the number of steps that returns the seconds timed.

    With samples, one is taken of the layers before the steps, off the clock.
    """
    cell = Cell(model=model, data="synthetic", precision=RECIPES[recipe], batch_size=BATCH_SIZE, epochs=1)
    measurement = Measurement(cell, MeasurementProtocol(numerics_samples=num_samples), DEVICE, report)
    measurement.outcome.stopwatch.start_training()
    training = Training(cell, images, DEVICE)
    measurement.timing.expect(10**9, training.steps_per_epoch)  # a training that never comes to its end
    stepping = Stepping(training, measurement.timing, measurement.outcome)
    stepping.run(0, num_steps=training.steps_per_epoch)
    probe = NumericsProbe(training, measurement.protocol, measurement.timing.memory, measurement.outcome)

    def run(num_steps: int) -> float:
        probe.take(epoch=0)
        before = measurement.outcome.stopwatch.train_s
        for _ in range(num_steps // training.steps_per_epoch):
            stepping.run(0, num_steps=training.steps_per_epoch)
        return measurement.outcome.stopwatch.train_s - before

    return run


@pytest.mark.parametrize("recipe", ["fp32", "bf16_amp"])
def test_the_harness_is_as_fast_as_a_loop_by_hand(
    recipe: str, images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    steps = len(images.train_y_N) // BATCH_SIZE
    by_hand = ByHand("SmallCifarNet", images, DEVICE, batch_size=BATCH_SIZE, bf16_amp=recipe == "bf16_amp")
    ours = harness("SmallCifarNet", recipe, images)
    # A round spreads by 4 % on a shared machine; the target leaves 1.5 %, which 36 rounds tell.
    result = benchmark.pedantic(
        compare, args=(lambda: ours(steps), lambda: by_hand.run(steps)), kwargs={"rounds": 36}, rounds=1
    )
    target = 0.985 if DEVICE.type == "cpu" else 0.99
    judge(
        f"the harness as fast as a loop by hand: SmallCifarNet {recipe} b128",
        result[0],
        at_least=target,
        control=result[1],
    )


@pytest.mark.parametrize(
    ("model", "recipe", "target"),
    [
        pytest.param("ResNet18", "fp32", 1.05, marks=ON_CPU),
        pytest.param("ResNet18", "bf16_amp", 1.7, marks=ON_CPU),
        pytest.param("ResNet18", "fp16_amp_scaled", 3.0, marks=ON_GPU),
        pytest.param("VGG19", "fp16_amp_scaled", 5.0, marks=ON_GPU),
        pytest.param("SmallCifarNet", "fp16_amp_scaled", 5.0, marks=ON_GPU),
    ],
)
def test_ours_is_faster_than_the_usual_script(
    model: str, recipe: str, target: float, images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    amp = DEVICE.type == "cuda"
    usual = AsUsual(model, images, DEVICE, batch_size=BATCH_SIZE, amp=amp)
    ours = harness(model, recipe, images)
    steps = len(images.train_y_N) // BATCH_SIZE
    # An epoch each: the usual script starts its workers anew every epoch, and pays for it.
    result = benchmark.pedantic(
        compare, args=(lambda: ours(steps), lambda: usual.run(steps)), kwargs={"rounds": 3}, rounds=1
    )
    name = f"ours faster than the usual {'AMP' if amp else 'fp32'} script: {model} {recipe} b128"
    judge(name, result[0], at_least=target, control=result[1])


@ON_CPU
def test_augmentation_on_tensors_is_faster_than_pil_on_one_core(
    images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    pil = AsPil(images)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    order = torch.randperm(len(images.train_y_N))
    ours = augmenting(images)

    def theirs() -> None:
        for chosen in order.split(BATCH_SIZE):
            torch.stack([pil[i][0] for i in chosen.tolist()])

    try:
        result = benchmark.pedantic(compare, args=(ours, theirs), kwargs={"rounds": 8}, rounds=1)
    finally:
        torch.set_num_threads(threads)
    judge("augmenting on tensors faster than torchvision on PIL: one core", result[0], at_least=4.0, control=result[1])


@ON_GPU
def test_augmentation_never_holds_up_the_fastest_training(
    images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    train = harness("ResNet18", "bf16", images)
    steps = len(images.train_y_N) // BATCH_SIZE
    result = benchmark.pedantic(
        compare, args=(augmenting(images), lambda: train(steps)), kwargs={"rounds": 12}, rounds=1
    )
    judge(
        "augmenting faster than the fastest training: ResNet18 bf16 b128", result[0], at_least=20.0, control=result[1]
    )


@pytest.mark.parametrize(
    "recipe", [pytest.param("bf16_amp", marks=ON_CPU), pytest.param("fp16_amp_scaled", marks=ON_GPU)]
)
def test_samples_of_the_layers_leave_the_timed_steps_as_fast_as_they_were(
    recipe: str, images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    """A sample every second epoch, as in experiments/numerics.toml, though of as few as 16 steps."""
    steps = 2 * (len(images.train_y_N) // BATCH_SIZE)
    plain, probed = (harness("SmallCifarNet", recipe, images, num_samples=samples) for samples in (0, 1))
    result = benchmark.pedantic(
        compare,
        args=(lambda: probed(steps), lambda: plain(steps)),
        kwargs={"rounds": 12, "clock": lambda work: work()},
        rounds=1,
    )
    judge(
        f"steps as fast beside the numerics probe: SmallCifarNet {recipe} b128",
        result[0],
        at_least=0.99,
        control=result[1],
    )


@ON_CPU
@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_fp16_supported(), reason="oneDNN leaves fp16 to torch by itself")
@pytest.mark.skipif(torch.cpu._is_amx_fp16_supported(), reason="oneDNN has kernels for fp16 here")
def test_fp16_is_faster_without_onednn_where_that_has_no_kernel_for_its_gradients(
    images: Images, judge: Callable[..., None], benchmark: BenchmarkFixture
) -> None:
    step = harness("LeNet", "fp16", images)

    def run(*, onednn: bool) -> None:
        torch.backends.mkldnn.enabled = onednn
        step(len(images.train_y_N) // BATCH_SIZE)

    try:
        result = benchmark.pedantic(
            compare, args=(lambda: run(onednn=False), lambda: run(onednn=True)), kwargs={"rounds": 5}, rounds=1
        )
    finally:
        torch.backends.mkldnn.enabled = True
    judge("fp16 faster without oneDNN: LeNet b128", result[0], at_least=4.0, control=result[1])


def augmenting(images: Images) -> Callable[[], None]:
    """Return a function that draws and augments all training images once, batch by batch."""
    images = images.to(DEVICE)
    layout = torch.channels_last
    normalize = Normalize(images.mean, images.std, dtype=torch.float32, memory_format=layout, device=DEVICE)
    augment = Augment(("crop", "flip"), normalize, torch.Generator(DEVICE).manual_seed(0))
    order = torch.randperm(len(images.train_y_N), device=DEVICE)

    def all_batches() -> None:
        for chosen in order.split(BATCH_SIZE):
            augment(images.train_x_NCHW[chosen])
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return all_batches
