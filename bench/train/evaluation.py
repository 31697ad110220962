"""Accuracy, loss and macro metrics over exactly the test set; an output that is not finite is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ampbench.bench.plan.cell import Cell
from ampbench.bench.train.loss.loss import LossFunction, has_own_loss
from ampbench.bench.train.loss.loss_sum import LossSum
from ampbench.bench.train.outputs import (
    check_output,
    has_own_classes,
    in_fp32,
    logits_of,
    predicted_classes,
    tensors_of,
)
from ampbench.bench.train.precision.dtype_limits import raised_at
from ampbench.bench.train.ranks import ALONE, Ranks
from ampbench.bench.train.statuses import Diverged
from ampbench.schema.learning import Evaluation

MIN_EVALUATION_BATCH = 128
"""Evaluation keeps no activations, so a training batch smaller than this would only make it slow."""

SIZES = re.compile(r"\b(size|sizes|shape|shapes|dimension)\b")
"""What torch says of tensors that do not fit each other."""

OnProgress = Callable[[float], None]
"""Called with the share of the test set whose batches have been queued."""


def ignore_progress(_share: float) -> None:
    """Do nothing."""


def evaluation_batch_size(cell: Cell) -> int:
    """Return the images of a step of evaluation, on each GPU."""
    return cell.test_batch_size or max(cell.batch_size, MIN_EVALUATION_BATCH)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    x_NCHW: Tensor,
    y_N: Tensor,
    *,
    prepare: Callable[[Tensor], Tensor],
    loss_fn: LossFunction,
    autocast: torch.autocast,
    batch_size: int,
    num_classes: int,
    ranks: Ranks = ALONE,
    on_progress: OnProgress = ignore_progress,
) -> Evaluation:
    """Evaluate in the recipe's own precision; `prepare` turns uint8 pixels into the model's input.

    The confusion matrix and the loss stay on the device until the end: one wait an evaluation. Ranks take the images
    in turns, each image once, with the running statistics of rank 0, and add up what they counted.

    Raises:
        Diverged: an output is NaN, or the loss not finite, so that no accuracy could be read from them.
        ValueError: what the model returns in evaluation does not fit.
    """
    was_training = model.training
    model.eval()
    ranks.share_buffers(model)
    share = slice(ranks.rank, None, ranks.world_size)
    num_images, x_NCHW, y_N = len(y_N), x_NCHW[share], y_N[share]
    counts = torch.zeros(num_classes**2 + 2, dtype=torch.int64, device=x_NCHW.device)
    confusion_KK, num_odd_2 = counts[:-2], counts[-2:]  # images whose outputs are NaN, and that are of no class
    loss_sum = LossSum(loss_fn, has_own_loss(model), ranks, x_NCHW.device)
    num_queued = 0
    for x_BCHW, y_B in zip(x_NCHW.split(batch_size), y_N.split(batch_size), strict=True):
        with autocast:
            output = model(prepare(x_BCHW))
        output = in_fp32(output)
        if not num_queued:
            read_by_model = has_own_loss(model) and has_own_classes(model)
            check_output(output, y_B, num_classes, is_read_by_model=read_by_model)
        loss_sum.add(output, y_B)
        guess_B = predicted_classes(model, output, len(y_B))
        judged = tensors_of(output) if has_own_classes(model) else [logits_of(output)]
        num_odd_2 += torch.stack((nan_images(judged, len(y_B)), ((guess_B < 0) | (guess_B >= num_classes)).sum()))
        guess_B = guess_B.clamp(0, num_classes - 1)
        # Not torch.bincount, which on a GPU waits for the smallest and the largest number.
        confusion_KK.index_add_(0, y_B * num_classes + guess_B, torch.ones_like(y_B))
        num_queued += len(y_B)
        on_progress(num_queued / len(y_N))
    _ = model.train() if was_training else model.eval()
    total = loss_sum.total()
    ranks.add_up((counts, total))
    found = torch.cat((counts.double(), total.view(1))).cpu()
    num_nan, num_outside, loss = found[-3:].tolist()
    test_loss = loss / num_images
    if num_outside:
        raise ValueError(f"classes_of says classes outside 0 to {num_classes - 1} for {num_outside:.0f} test images")
    if num_nan or not math.isfinite(test_loss):
        raise Diverged(
            f"the outputs of {num_nan:.0f} of {num_images} test images are NaN, the test loss is {test_loss}"
        )
    return from_confusion(found[:-3].view(num_classes, num_classes), test_loss)


@contextmanager
def explained(cell: Cell, num_images: int) -> Iterator[None]:
    """Context of an evaluation of `num_images`, in which an error gets what helps a reader to mend it.

    A ValueError names the model. Another error of shapes gets a note that the batches of evaluation are not as large as
    those of training.
    """
    try:
        yield
    except ValueError as e:
        words, line = (str(e).strip().splitlines() or ["no message"])[0], raised_at(e)
        raise ValueError(f"{cell.model} in evaluation: {words}{f' ({line})' if line else ''}") from e
    except Exception as e:
        if SIZES.search(str(e)):
            size = evaluation_batch_size(cell)
            last = f", the last one of {num_images % size}" if num_images % size else ""
            e.add_note(
                f"in evaluation, of batches of {min(size, num_images)} images{last}, where training had "
                f"{cell.batch_size}: what the model keeps must take its size from the images, x.size(0); "
                "test_batch_size sets that of evaluation"
            )
        raise


def nan_images(tensors: Iterable[Tensor], num_images: int) -> Tensor:
    """Return for how many of the images one of these tensors holds NaN; a scalar, on the device."""
    found = [x.isnan().reshape(num_images, -1).any(1) for x in tensors if x.dim() and len(x) == num_images]
    return torch.stack(found).any(0).sum() if found else torch.tensor(0)


def from_confusion(confusion_KK: Tensor, test_loss: float) -> Evaluation:
    """Turn counts (true class, predicted class) into shares; 0 / 0 is 0, as in scikit-learn's zero_division=0."""
    counts = confusion_KK.double()
    hits_K = counts.diagonal()
    precision_K = hits_K / counts.sum(0).clamp(min=1)
    recall_K = hits_K / counts.sum(1).clamp(min=1)
    f1_K = 2 * precision_K * recall_K / (precision_K + recall_K).clamp(min=1e-300)
    return Evaluation(
        test_accuracy=float(hits_K.sum() / counts.sum()),
        test_loss=test_loss,
        macro_precision=float(precision_K.mean()),
        macro_recall=float(recall_K.mean()),
        macro_f1=float(f1_K.mean()),
    )
