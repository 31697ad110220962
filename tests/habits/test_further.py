"""The harness does not change a training: the numbers are those of a loop that its author would write."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.outputs import in_fp32, logits_of
from ampbench.bench.train.schedule import learning_rate
from tests.habits import further, methods
from tests.habits.ending import cell_of, end
from tests.support.thinned import thinned

LEARN = [
    *(further.data_parallel, further.compiled, further.WeightedLoss, further.WeightedCriterion),
    *(further.CountsOutside, further.LikeHuggingFace, methods.ArcFace, methods.CenterLoss, methods.MixesUp),
    *(methods.HookedFrom, methods.GhostNorm, methods.PenaltyOnGradient, methods.OwnOptimizer, methods.Teacher),
    *(methods.ReentrantOnImages, further.Says, methods.Frozen),
]
MORE = [(further.CountsOutside, "bf16"), (further.data_parallel, "bf16_amp")]
LOSE_A_LOOK = {
    further.compiled: "no samples of the layers: CannotRollBackError",
    methods.PenaltyOnGradient: "no count of operations",
}


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own() -> Iterator[None]:
    further.num_steps = further.CountsOutside.calls = 0
    yield
    torch.set_grad_enabled(True)


def name_of(model: Any) -> str:
    return f"{model.__module__}:{model.__name__}"


def by_hand(build: Any, recipe: str) -> tuple[float, float]:
    """Train and evaluate as a user's own script would; return the mean training loss and the test accuracy."""
    images, cell = load_images("digits", 16), cell_of(name_of(build), recipe)
    dtype = torch.bfloat16 if recipe == "bf16" else torch.float32
    layout = torch.contiguous_format if build is further.CountsOutside else torch.channels_last
    std_1C11 = torch.tensor(images.std).view(1, 3, 1, 1)
    offset_1C11, factor_1C11 = -torch.tensor(images.mean).view(1, 3, 1, 1) / std_1C11, 1 / (255 * std_1C11)

    def normalized(x: torch.Tensor) -> torch.Tensor:
        x = torch.addcmul(offset_1C11, x.float(), factor_1C11)
        return x.to(dtype).to(memory_format=layout)

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    model = build()
    random.seed(0)
    np.random.seed(0)
    model.to(dtype).to(memory_format=layout).train()
    if isinstance(criterion := getattr(model, "criterion", getattr(model, "loss", None)), torch.nn.Module):
        criterion.float()
        criterion.weight = torch.linspace(0.5, 1.5, 10)
    loss_fn = getattr(model, "loss", None) or (lambda output, y_N: F.cross_entropy(logits_of(output), y_N))
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1.0, momentum=0.9, weight_decay=cell.weight_decay, fused=True)
    order_N = torch.randperm(len(images.train_y_N), generator=torch.Generator().manual_seed(0))
    batches, losses, hits = [batch for batch in order_N.split(64) if len(batch) == 64], [], 0
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = learning_rate(cell, epoch=0, step=step, steps_per_epoch=len(batches))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe == "bf16_amp"):
            output = model(normalized(images.train_x_NCHW[batch]))
        loss = loss_fn(in_fp32(output), images.train_y_N[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    for x_BCHW, y_B in zip(images.test_x_NCHW.split(128), images.test_y_N.split(128), strict=True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=recipe == "bf16_amp"):
            hits += int((logits_of(in_fp32(model(normalized(x_BCHW)))).argmax(1) == y_B).sum())
    return float(np.mean(losses)), hits / len(images.test_y_N)


@pytest.mark.parametrize(
    ("model", "recipe"),
    thinned([*((model, ("fp32", "bf16_amp", "bf16")[i % 3]) for i, model in enumerate(LEARN)), *MORE], kept=10),
    ids=lambda x: getattr(x, "__name__", x),
)
def test_it_learns_what_a_loop_by_hand_teaches_it(model: Any, recipe: str) -> None:
    row = end(name_of(model), recipe)
    assert (row["status"], row["because"]) == ("ok", None)
    further.num_steps = further.CountsOutside.calls = 0
    loss, accuracy = by_hand(model, recipe)
    assert row["train_loss"] == pytest.approx(loss, rel=1e-6)
    assert row["test_accuracy"] == pytest.approx(accuracy, abs=1e-9)


@pytest.mark.filterwarnings("error:Using `torch.compile.*global hooks", "error:Dynamo does not know")
@pytest.mark.parametrize(
    "model",
    [*LOSE_A_LOOK, *thinned([model for model in LEARN if model not in LOSE_A_LOOK], kept=2)],
    ids=lambda model: model.__name__,
)
def test_looks_change_none_of_its_losses(model: Any) -> None:
    plain = end(name_of(model), "bf16_amp")
    further.num_steps = further.CountsOutside.calls = 0
    looked = end(name_of(model), "bf16_amp", {"numerics_samples": 2})
    failed = looked.get("passes_failed")
    assert (failed or "").startswith(LOSE_A_LOOK.get(model, "")), failed
    assert (failed is None) == (model not in LOSE_A_LOOK), failed
    assert [looked[key] for key in ("train_loss", "test_loss")] == [plain[key] for key in ("train_loss", "test_loss")]


@pytest.mark.parametrize(
    ("model", "recipe", "said"),
    [
        (
            further.WeightedByBuffer,
            "bf16",
            r"BFloat16 \(further\.py:\d+\); cast its weights and buffers to fp32 there \(models/external",
        ),
        (
            further.KeepsItsState,
            "fp32",
            r"further\.py:\d+\); in evaluation, of batches of 128 images, the last one of 104, where training had 64: "
            r".*from the images, x\.size\(0\)",
        ),
        (further.ByKeyword, "fp32", r"the model is called with the images alone, model\(x\)"),
        (further.SwitchesGradientsOff, "fp32", r"the model switched gradients off"),
        (further.KerasLoss, "bf16_amp", r"KerasLoss: its own loss\(outputs, y_N\) failed"),
        (further.Unflattened, "fp32", r"\(64, 10, 1, 1\), and \(64, 10\) is wanted.*: flatten them"),
        (further.AnswersInEvaluation, "fp32", r"AnswersInEvaluation in evaluation: .* \(128, 3\), and \(128, 10\)"),
        (further.Insists, "bf16", r"^KeyError: 'cuda' \(further\.py:\d+\)$"),
    ],
    ids=lambda x: getattr(x, "__name__", None),
)
def test_it_ends_in_a_line_that_says_what_to_do(model: Any, recipe: str, said: str) -> None:
    row = end(name_of(model), recipe)
    assert row["status"] == "failed"
    assert re.search(said, row["because"]), row["because"]
