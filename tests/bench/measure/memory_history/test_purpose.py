"""The purpose of an allocation: known by its stack or its end, and open where neither shows it."""

from __future__ import annotations

import pytest
import torch

from ampbench.bench.measure.memory_history import addresses, digest
from tests.bench.measure.memory_history.test_replay import PEAK, by_category
from tests.support.snapshots import (
    ACTIVATION,
    BACKWARD,
    BATCH,
    CAST,
    FORWARD,
    GRADIENT,
    MOMENTUM,
    POOL,
    TORCH,
    WEIGHT,
    Allocator,
    stack,
    steps,
)


@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_each_byte_of_a_step_is_told_by_its_stack_or_its_end(num_steps: int) -> None:
    memory, known = steps(num_steps)
    digested = digest(memory.snapshot(), known=known, cast_bytes=[CAST])
    assert digested.peak.allocated_bytes == PEAK
    assert by_category(digested.peak) == {
        "weights": WEIGHT,
        "optimizer state": MOMENTUM,
        "gradients": GRADIENT,
        "autocast cache": CAST,
        "activations": 2 * ACTIVATION + 8,
        "backward": ACTIVATION,
        "other": 700,
        "before recording": 12345,
    }
    sites = {(held.category, held.call_site) for held in digested.peak.composition}
    assert ("activations", "models/vgg.py:38 forward") in sites
    assert ("backward", "autograd's own thread") in sites
    assert ("other", "augmentation/augment.py:60 __call__") in sites


@pytest.mark.parametrize("num_steps", [1, 2])
def test_a_gradient_is_told_without_its_address(num_steps: int) -> None:
    """By the `zero_grad` that frees it; the last one, because it is live after its backward pass."""
    assert by_category(digest(steps(num_steps)[0].snapshot()).peak)["gradients"] == GRADIENT


def test_without_their_sizes_copies_of_weights_pass_for_activations() -> None:
    found = by_category(digest(steps()[0].snapshot()).peak)
    assert "autocast cache" not in found
    assert found["activations"] == 2 * ACTIVATION + 8 + CAST


def test_a_known_address_says_nothing_of_what_had_it_earlier() -> None:
    memory = Allocator()
    early = memory.alloc(4096, FORWARD)
    memory.alloc(9000, BATCH)
    memory.release(early, BACKWARD)
    late = memory.alloc(4096, BACKWARD)
    assert early == late
    found = by_category(digest(memory.snapshot(), known={late: "gradients"}).peak)
    assert found == {"activations": 4096, "other": 9000}


def test_what_an_operator_gives_back_itself_is_workspace() -> None:
    memory = Allocator()
    workspace = memory.alloc(50_000, FORWARD)
    memory.release(workspace, FORWARD)
    assert by_category(digest(memory.snapshot()).peak) == {"workspace": 50_000}
    kept = memory.alloc(60_000, FORWARD)
    memory.alloc(1, POOL)
    memory.release(kept, FORWARD)  # the same line, but others ran in between
    assert by_category(digest(memory.snapshot()).peak)["activations"] == 60_001


@pytest.mark.parametrize(
    ("calls", "category"),
    [
        (["torch/nn/modules/linear.py:134 forward"], "activations"),
        (["torch/nn/modules/conv.py:170 __init__", "models/vgg.py:28 __init__"], "weights"),
        (["torch/nn/modules/module.py:1355 convert", "torch/nn/modules/module.py:927 _apply"], "weights"),
        (["torch/optim/sgd.py:351 _multi_tensor_sgd", "torch/amp/grad_scaler.py:461 step"], "optimizer state"),
        (["models/vit.py:50 attend", "models/vit.py:60 forward"], "activations"),
        (["torch/autograd/graph.py:865 _engine_run_backward", "bench/train/step.py:40 train_step"], "gradients"),
        (["models/own.py:12 backward"], "gradients"),
        (["torch/nn/utils/clip_grad.py:50 _get_total_norm", "bench/train/step.py:41 train_step"], "other"),
        (["bench/train/augmentation/augment.py:60 __call__"], "other"),
    ],
)
def test_a_stack_says_who_made_what_is_live_at_the_end(calls: list[str], category: str) -> None:
    memory = Allocator()
    memory.alloc(100, stack(*calls))
    assert by_category(digest(memory.snapshot()).peak) == {category: 100}


def test_an_event_without_a_stack_is_no_evidence_of_the_backward_pass() -> None:
    memory = Allocator()
    memory.alloc(100, FORWARD)
    for event in memory.trace:
        del event["frames"]
    assert by_category(digest(memory.snapshot()).peak) == {"other": 100}


def test_frames_of_c_plus_plus_are_passed_over() -> None:
    native = {"filename": "/pytorch/aten/src/ATen/native/Convolution.cpp", "line": 1, "name": "at::native::forward"}
    memory = Allocator()
    memory.alloc(100, [native, *BATCH])
    memory.alloc(50, [native])
    found = {(held.category, held.call_site) for held in digest(memory.snapshot()).peak.composition}
    assert found == {("other", "augmentation/augment.py:60 __call__"), ("gradients", "autograd's own thread")}


def test_an_address_is_that_of_the_storage() -> None:
    x = torch.zeros(10)
    assert addresses({"weights": [x[5:]], "data": []}) == {x.data_ptr(): "weights"}


def test_a_digest_knows_torch_wherever_it_is_installed() -> None:
    for root in ("/usr/lib/python3/dist-packages/torch/", "/opt/pytorch/torch/", TORCH):
        frames = [{"filename": f"{root}nn/modules/conv.py", "line": 1, "name": "forward"}, *BATCH]
        memory = Allocator()
        memory.alloc(1, frames)
        assert digest(memory.snapshot()).peak.composition[0].call_site == "augmentation/augment.py:60 __call__"
