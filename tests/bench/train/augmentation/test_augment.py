"""Augmentation as a whole: its order, its seed, and what reaches the network."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as theirs

from ampbench.bench.plan.augmentation import KINDS
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train.augmentation.augment import ACTS, Augment, Normalize
from ampbench.bench.train.images.images import load_images
from ampbench.bench.train.training import Training
from tests.support.samples import CPU, MEAN, STD, noise, normalize, seeded


def test_normalize_agrees_with_torchvision_and_keeps_the_layout() -> None:
    x_NCHW = noise(4, 8)
    ours = normalize()(x_NCHW)
    torch.testing.assert_close(ours, theirs.normalize(x_NCHW.float() / 255, MEAN, STD), rtol=0, atol=1e-5)
    assert ours.is_contiguous(memory_format=torch.channels_last)


def test_images_without_augmentation_are_only_normalised() -> None:
    assert torch.equal(Augment((), normalize(), seeded())(noise(4)), normalize()(noise(4)))


EVERYTHING = ("flip", "rotation", "crop", "jitter", "cutout:4", "erasing:p=1")


def test_a_seed_gives_the_same_images_whatever_the_precision() -> None:
    full = Augment(EVERYTHING, normalize(), seeded())(noise(32))
    assert full.is_contiguous(memory_format=torch.channels_last)
    for dtype in (torch.bfloat16, torch.float16):
        assert torch.equal(Augment(EVERYTHING, normalize(dtype), seeded())(noise(32)), full.to(dtype))


def test_every_kind_acts_and_the_list_is_the_order() -> None:
    assert ACTS.keys() == KINDS.keys()
    for name in KINDS:
        assert not torch.equal(Augment((name,), normalize(), seeded())(noise(32)), normalize()(noise(32))), name
    rotated_first, cropped_first = (
        Augment(names, normalize(), seeded())(noise(32)) for names in (("rotation", "crop"), ("crop", "rotation"))
    )
    assert not torch.equal(rotated_first, cropped_first)


def test_a_hole_is_the_mean_colour() -> None:
    cut = Augment(("cutout:16",), normalize(), seeded())(noise(8))
    assert bool((cut == 0).flatten(1).any(1).all())


@pytest.mark.gpu
def test_no_augmentation_waits_for_the_gpu() -> None:
    device = torch.device("cuda")
    on_gpu = Normalize(MEAN, STD, dtype=torch.bfloat16, memory_format=torch.channels_last, device=device, size=32)
    augment, x_NCHW = Augment(EVERYTHING, on_gpu, torch.Generator(device).manual_seed(0)), noise(32).to(device)
    augment(x_NCHW)
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment(x_NCHW)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_training_and_evaluation_resize_alike() -> None:
    small = Cell(
        model="tests.support.tiny:Net", data="digits", precision=RECIPES["fp32"], batch_size=64, image_size=4, resize=8
    )
    training = Training(small, load_images("digits", 4), CPU)
    assert training.images.train_x_NCHW.shape[2:] == (4, 4)
    x_NCHW, _ = next(training.batches(0))
    assert x_NCHW.shape == (64, 3, 8, 8)
    assert training.normalize.to(torch.float64)(training.images.test_x_NCHW[:2]).shape == (2, 3, 8, 8)
    assert 0 <= training.evaluate().test_accuracy <= 1


@pytest.mark.parametrize(("name", "black", "white"), [("half", -1.0, 1.0), ("imagenet", -0.485 / 0.229, 0.515 / 0.229)])
def test_pixels_are_normalised_as_the_cell_says(name: Any, black: float, white: float) -> None:
    cell = Cell(model="tests.support.tiny:Net", data="digits", precision=RECIPES["fp32"], batch_size=64, image_size=8)
    normalize = Training(dataclasses.replace(cell, normalization=name), load_images("digits", 8), CPU).normalize
    x_NCHW = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    torch.testing.assert_close(normalize(x_NCHW)[:, 0, 0, 0], torch.tensor([black, white]))
