"""The parts of a training: augmentation, schedule, evaluation, and the step under every recipe."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support
from torch import nn

from bench.plan.cell import Cell
from bench.plan.recipe import RECIPES
from bench.train.augment import Augment, Normalize, random_crop, random_flip
from bench.train.evaluate import from_confusion
from bench.train.images import load_images
from bench.train.schedule import learning_rate
from bench.train.statuses import Unsupported
from bench.train.training import Training

CPU = torch.device("cpu")


def cell(recipe: str = "fp32", **fields: object) -> Cell:
    given = {"model": "tests.failing:Tiny", "data": "synthetic", "batch_size": 64, "precision": RECIPES[recipe]}
    return Cell(**given | {"epochs": 1} | fields)  # type: ignore[arg-type]


def test_a_crop_is_the_window_of_the_padded_image_at_its_own_offset() -> None:
    x_NCHW = torch.randint(1, 256, (5, 3, 8, 8), dtype=torch.uint8)
    dy_N, dx_N = torch.tensor([0, 8, 4, 3, 7]), torch.tensor([8, 0, 4, 5, 1])
    cropped = random_crop(x_NCHW, dy_N, dx_N)
    for i, (dy, dx) in enumerate(zip(dy_N.tolist(), dx_N.tolist(), strict=True)):
        padded = nn.functional.pad(x_NCHW[i], (4, 4, 4, 4))
        assert torch.equal(cropped[i], padded[:, dy : dy + 8, dx : dx + 8])


def test_a_flip_mirrors_exactly_the_chosen_images() -> None:
    x_NCHW = torch.arange(2 * 3 * 2 * 4).view(2, 3, 2, 4)
    flipped = random_flip(x_NCHW, torch.tensor([True, False]))
    assert torch.equal(flipped[0], x_NCHW[0].flip(2))
    assert torch.equal(flipped[1], x_NCHW[1])


def test_offsets_are_uniform_and_half_of_the_images_are_flipped() -> None:
    normalize = Normalize([0] * 3, [1] * 3, dtype=torch.float32, memory_format=torch.contiguous_format, device=CPU)
    augment = Augment(("crop", "flip"), normalize, torch.Generator().manual_seed(0))
    marked = torch.zeros(20_000, 3, 9, 9, dtype=torch.uint8)
    marked[:, :, 4, 4] = 255
    rows_N = augment(marked)[:, 0].flatten(1).argmax(1).div(9, rounding_mode="floor")
    counts = torch.bincount(rows_N, minlength=9)
    assert counts.min() > 20_000 / 9 * 0.9
    assert counts.max() < 20_000 / 9 * 1.1
    left = torch.zeros(20_000, 3, 4, 4, dtype=torch.uint8)
    left[:, :, :, 0] = 255
    flip_only = Augment(("flip",), normalize, torch.Generator().manual_seed(0))
    share = float((flip_only(left)[:, 0, 0, 3] > 0.5).float().mean())
    assert abs(share - 0.5) < 3.5 * math.sqrt(0.25 / 20_000)


def test_normalize_agrees_with_torchvision_and_keeps_the_layout() -> None:
    from torchvision.transforms import v2

    x_NCHW = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    mean, std = (0.49, 0.48, 0.44), (0.2, 0.19, 0.21)
    ours = Normalize(mean, std, dtype=torch.float32, memory_format=torch.channels_last, device=CPU)(x_NCHW)
    theirs = v2.functional.normalize(x_NCHW.float() / 255, list(mean), list(std))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_cosine_is_torchs_own_over_the_runs_epochs() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
    for epoch in range(7):
        ours = learning_rate(cell(epochs=7, learning_rate=0.3), epoch=epoch, step=5, steps_per_epoch=9)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_warmup_rises_per_step_and_milestones_divide_by_ten() -> None:
    warm = cell(schedule="warmup_multistep", epochs=9, learning_rate=1.0, warmup_epochs=1, milestones=(3, 6))
    rates = [learning_rate(warm, epoch=0, step=step, steps_per_epoch=4) for step in range(4)]
    assert rates == pytest.approx([0.01, 0.2575, 0.505, 0.7525])
    later = [learning_rate(warm, epoch=epoch, step=0, steps_per_epoch=4) for epoch in range(1, 9)]
    assert later == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_macro_metrics_are_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, guess = torch.randint(0, 5, (200,), generator=generator), torch.randint(0, 4, (200,), generator=generator)
    confusion_KK = torch.bincount(truth * 5 + guess, minlength=25).view(5, 5)
    ours = from_confusion(confusion_KK, test_loss=0.0)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, guess, average="macro", zero_division=0)
    assert (ours.macro_precision, ours.macro_recall, ours.macro_f1) == pytest.approx((precision, recall, f1))
    assert ours.test_accuracy == pytest.approx(float((truth == guess).float().mean()))


@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if not recipe.needs_gpu])
def test_every_recipe_trains_through_the_one_step(recipe: str) -> None:
    training = Training(cell(recipe, epochs=0, learning_rate=0.05, augment=()), load_images("synthetic", 32), CPU)
    before = [p.detach().clone() for p in training.model.parameters()]
    losses = [float(step.loss) for _, step in zip(range(24), training.steps(0), strict=False)]
    weights = {str(p.dtype).removeprefix("torch.") for p in training.model.parameters()}
    assert weights == {{"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}[RECIPES[recipe].weights]}
    assert all(not torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True))
    assert losses[-1] < losses[0]


def test_tf32_and_fp8_on_a_cpu_are_unsupported_and_not_an_error() -> None:
    with pytest.raises(Unsupported, match="TF32 is a mode of NVIDIA GPUs"):
        Training(cell("tf32"), load_images("synthetic", 32), CPU)
    with pytest.raises(Unsupported, match=r"capability 8\.9"):
        Training(cell("fp8"), load_images("synthetic", 32), CPU)


def test_cells_of_a_group_start_from_the_same_weights_and_see_the_same_images() -> None:
    images = load_images("synthetic", 32)
    first, second = (Training(cell(recipe), images, CPU) for recipe in ("fp32", "bf16_amp"))
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    losses = [next(training.steps(0)).loss for training in (first, second)]
    assert torch.equal(first._order.get_state(), second._order.get_state())
    assert torch.equal(first._augment.generator.get_state(), second._augment.generator.get_state())
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=0.02)


def test_the_same_seed_gives_the_same_losses_bit_for_bit() -> None:
    images = load_images("synthetic", 32)
    runs = [[float(step.loss) for step in Training(cell("bf16_amp"), images, CPU).steps(0)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_model_may_bring_its_loss_and_gets_fp32_logits() -> None:
    training = Training(cell("bf16", model="tests.failing:OwnLoss"), load_images("synthetic", 32), CPU)
    assert training.loss_fn == training.model.loss  # type: ignore[comparison-overlap]
    next(training.steps(0))


def test_an_epoch_drops_its_last_batch_only_if_told() -> None:
    images = load_images("synthetic", 32)
    assert Training(cell(batch_size=500), images, CPU).steps_per_epoch == 4
    keeping = Training(cell(batch_size=500, drop_last=False), images, CPU)
    assert keeping.steps_per_epoch == 5
    assert [step.num_images for step in keeping.steps(0)] == [500, 500, 500, 500, 48]


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="more than the 2048 training images; choose a smaller one"):
        Training(cell(batch_size=4096), load_images("synthetic", 32), CPU)


def test_evaluation_sees_every_test_image_once_and_leaves_the_model_training() -> None:
    training = Training(cell(batch_size=100), load_images("synthetic", 32), CPU)
    evaluation = training.evaluate()
    assert (evaluation.test_accuracy * 512) == pytest.approx(round(evaluation.test_accuracy * 512))
    assert training.model.training
