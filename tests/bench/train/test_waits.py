"""Nothing in a timed step waits for the device: no operator in it needs a number that a GPU would still be at.

A CPU runs the same operators as a GPU, so that those which would wait are seen here; `tests/gpu/test_cuda.py` asks one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ampbench.bench.measure.clock import BlockClock
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES, Recipe
from ampbench.bench.train.images.images import Images, load_images
from ampbench.bench.train.training import Training
from ampbench.bench.worker.timing.step_trace import StepTrace

CPU = torch.device("cpu")

WAITS = {
    *("_local_scalar_dense", "item", "is_nonzero", "equal", "allclose"),  # a number for Python
    *("nonzero", "masked_select", "unique", "_unique2", "unique_consecutive", "bincount", "histc"),  # a shape
}


class Waiting(TorchDispatchMode):
    """Counts operators that wait, and indexing by a mask, which counts its entries first."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.partition(".")[0]
        masked = name.strip("_") in ("index", "index_put", "index_put_impl") and any(
            isinstance(index, torch.Tensor) and index.dtype is torch.bool for index in args[1]
        )
        if name in WAITS or masked:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def images() -> Images:
    return load_images("synthetic", 32)


def waits_in(images: Images, **fields: Any) -> dict[str, int]:
    """Return what waits in three steps of a cell with all that is noted of them, a block's border after each."""
    given = {"model": "tests.support.tiny:Wide", "data": "synthetic", "batch_size": 8, "precision": RECIPES["fp32"]}
    training = Training(Cell(**given | fields), images, CPU)
    steps, skipped = training.endless_steps(), training.precision.scaler.num_skipped
    next(steps)  # the optimizer's state is made in the first
    clock, trace = BlockClock(CPU, block_s=1e9), StepTrace(0.0)
    clock.warming_up = False
    clock.open(0)
    with Waiting() as waiting:
        for _ in range(3):
            step = next(steps)
            trace.add(step)
            clock.count(step.loss, step.num_images, skipped, steps_left=9, hits=(step.correct, step.num_seen))
            trace.pack()
    return dict(waiting.seen)


def test_the_planted_wait_is_seen() -> None:
    x = torch.arange(4.0)
    with Waiting() as waiting:
        float(x.sum())
        x[x > 1]
        x.bool().nonzero()
    assert waiting.seen == {"_local_scalar_dense": 1, "index": 1, "nonzero": 1}


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name not in ("tf32", "fp8")])
def test_no_recipe_waits(recipe: str, images: Images) -> None:
    assert waits_in(images, precision=RECIPES[recipe]) == {}


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adam", "adamw"])
def test_no_fused_optimizer_waits_for_a_scaler_that_may_skip(optimizer: str, images: Images) -> None:
    assert waits_in(images, optimizer=optimizer, precision=RECIPES["fp16_amp_scaled"]) == {}


OWN = {"name": "own", "weights": "bf16", "compute": "bf16"}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"augment": ("crop", "flip")}, id="augmented"),
        pytest.param(
            {
                "augment": (
                    "crop",
                    "flip",
                    "rotation",
                    "jitter:brightness=.1,contrast=.1,saturation=.1,hue=.1",
                    "cutout",
                    "erasing",
                )
            },
            id="every augmentation",
        ),
        pytest.param({"image_size": 16, "resize": 32}, id="resized"),
        pytest.param({"grad_clip": 1.0, "precision": RECIPES["fp16_amp_scaled"]}, id="clipped under a dynamic scale"),
        pytest.param({"grad_clip": 1.0, "precision": RECIPES["fp16_scaled"]}, id="clipped under a static scale"),
        pytest.param({"accumulation": 4}, id="accumulated"),
        pytest.param({"ema_decay": 0.99}, id="averaged"),
        pytest.param({"label_smoothing": 0.1}, id="smoothed"),
        pytest.param({"drop_last": False, "batch_size": 24}, id="with a smaller last batch"),
        pytest.param({"loader": "dataloader", "num_workers": 0}, id="a DataLoader"),
        pytest.param({"precision": Recipe(**OWN, master_weights=True)}, id="fp32 copies"),
        pytest.param({"precision": Recipe(**OWN, rounding="kahan")}, id="Kahan"),
        pytest.param({"precision": Recipe(**OWN, rounding="stochastic")}, id="stochastic rounding"),
        pytest.param({"loss_scale": "dynamic:interval=1", "precision": RECIPES["fp16_amp"]}, id="grows"),
    ],
)
def test_nothing_that_a_cell_may_ask_for_waits(fields: dict[str, Any], images: Images) -> None:
    assert waits_in(images, **fields) == {}
