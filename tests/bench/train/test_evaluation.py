"""The evaluation of the test set: what it counts, and that it waits for the device once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ampbench.bench.train import evaluation as evaluation
from ampbench.bench.train.evaluation import evaluate, from_confusion
from ampbench.bench.train.loss.loss import loss_of
from ampbench.schema.learning import Evaluation

NUM_CLASSES = 7
WAITS = (
    "_local_scalar_dense",
    "item",
    "nonzero",
    "is_nonzero",
    "equal",
    "bincount",
    "histc",
    "masked_select",
    "_unique2",
)
"""Operators for which the CPU has to know numbers that a GPU is still at."""


class Waiting(TorchDispatchMode):
    """Counts such operators; a CPU has the same ones as a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        if name in WAITS:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


class Guess(nn.Module):
    """Knows the class of an image by its first pixel, and is wrong where that says so."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return torch.eye(NUM_CLASSES)[x_NCHW[:, 0, 0, 0].long()]


def evaluated(guesses: Iterable[int], truth: Iterable[int], batch_size: int = 4) -> Evaluation:
    x_NCHW = torch.tensor(list(guesses), dtype=torch.uint8).view(-1, 1, 1, 1)
    y_N = torch.tensor(list(truth))
    model = Guess()
    return evaluate(
        model,
        x_NCHW,
        y_N,
        prepare=Tensor.float,
        loss_fn=loss_of(model),
        autocast=torch.autocast("cpu", enabled=False),
        batch_size=batch_size,
        num_classes=NUM_CLASSES,
    )


def test_every_image_is_counted_at_its_class_and_its_guess() -> None:
    truth, guesses = torch.randint(NUM_CLASSES, (2, 50), generator=torch.Generator().manual_seed(0)).tolist()
    confusion_KK = torch.zeros(NUM_CLASSES, NUM_CLASSES)
    for true, guess in zip(truth, guesses, strict=True):
        confusion_KK[true, guess] += 1
    found = evaluated(guesses, truth)
    assert found == from_confusion(confusion_KK, found.test_loss)
    assert 0 < found.test_accuracy < 1
    wrong = nn.functional.cross_entropy(torch.eye(NUM_CLASSES)[guesses], torch.tensor(truth))
    assert found.test_loss == pytest.approx(float(wrong))


@pytest.mark.parametrize("num_images", [4, 40])
def test_an_evaluation_waits_at_most_once_however_many_batches_it_has(
    num_images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "from_confusion", lambda counts, loss: (counts.sum(), loss))
    labels = [i % NUM_CLASSES for i in range(num_images)]
    with Waiting() as waiting:
        evaluated(labels, labels)
    assert waiting.seen.total() <= 1, dict(waiting.seen)
