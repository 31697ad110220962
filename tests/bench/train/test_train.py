"""The parts of a training: evaluation, and the step under every recipe."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import precision_recall_fscore_support

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.evaluation import from_confusion
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.statuses import Unsupported
from ampbench.bench.train.training import Training

CPU = torch.device("cpu")


def cell(recipe: str = "fp32", **fields: object) -> Cell:
    given = {"model": "tests.support.failing:Tiny", "data": "synthetic", "batch_size": 64, "precision": RECIPES[recipe]}
    return Cell(**given | {"epochs": 1} | fields)  # type: ignore[arg-type]


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
    assert torch.equal(first._batches.order.get_state(), second._batches.order.get_state())
    assert torch.equal(*(training._batches.augment.generator.get_state() for training in (first, second)))
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=0.02)


def test_the_same_seed_gives_the_same_losses_bit_for_bit() -> None:
    images = load_images("synthetic", 32)
    runs = [[float(step.loss) for step in Training(cell("bf16_amp"), images, CPU).steps(0)] for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_model_may_bring_its_loss_and_gets_fp32_logits() -> None:
    training = Training(cell("bf16", model="tests.support.failing:OwnLoss"), load_images("synthetic", 32), CPU)
    assert training.criterion.loss_fn == training.model.loss  # type: ignore[comparison-overlap]
    next(training.steps(0))


def test_an_epoch_drops_its_last_batch_only_if_told() -> None:
    images = load_images("synthetic", 32)
    assert Training(cell(batch_size=500), images, CPU).steps_per_epoch == 4
    checkpoints = Training(cell(batch_size=500, drop_last=False), images, CPU)
    assert checkpoints.steps_per_epoch == 5
    assert [step.num_images for step in checkpoints.steps(0)] == [500, 500, 500, 500, 48]


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="more than the 2048 training images; choose a smaller one"):
        Training(cell(batch_size=4096), load_images("synthetic", 32), CPU)


def test_evaluation_sees_every_test_image_once_and_leaves_the_model_training() -> None:
    training = Training(cell(batch_size=100), load_images("synthetic", 32), CPU)
    evaluation = training.evaluate()
    assert (evaluation.test_accuracy * 512) == pytest.approx(round(evaluation.test_accuracy * 512))
    assert training.model.training
