"""Crops, flips, rotations and sizes are torchvision's to the pixel, and drawn by torchvision's law."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn
from torchvision.transforms.v2 import functional as theirs

from ampbench.bench.train.augmentation import geometry
from tests.support.samples import COUNT, assert_uniform, noise, seeded


def test_a_crop_is_the_window_of_the_padded_image_at_its_own_offset() -> None:
    x_NCHW = torch.randint(1, 256, (5, 3, 8, 8), dtype=torch.uint8)
    dy_N, dx_N = torch.tensor([0, 8, 4, 3, 7]), torch.tensor([8, 0, 4, 5, 1])
    cropped = geometry.crop(x_NCHW, dy_N, dx_N)
    for i, (dy, dx) in enumerate(zip(dy_N.tolist(), dx_N.tolist(), strict=True)):
        padded = nn.functional.pad(x_NCHW[i], (4, 4, 4, 4))
        assert torch.equal(cropped[i], theirs.crop(padded, dy, dx, 8, 8))


def test_crop_offsets_are_uniform_in_both_directions() -> None:
    marked = torch.zeros(COUNT, 1, 9, 9, dtype=torch.uint8)
    marked[:, :, 4, 4] = 1
    place_N = geometry.random_crop(marked, seeded()).flatten(1).argmax(1)
    assert stats.chisquare(torch.bincount(place_N, minlength=81)).pvalue > 1e-3


def test_a_flip_mirrors_exactly_the_chosen_images() -> None:
    x_NCHW = torch.arange(2 * 3 * 2 * 4).view(2, 3, 2, 4)
    flipped = geometry.flip(x_NCHW, torch.tensor([True, False]))
    assert torch.equal(flipped[0], theirs.horizontal_flip(x_NCHW[0]))
    assert torch.equal(flipped[1], x_NCHW[1])


def test_half_of_the_images_are_flipped() -> None:
    left = torch.zeros(COUNT, 1, 1, 2, dtype=torch.uint8)
    left[:, :, :, 0] = 1
    num_flipped = int(geometry.random_flip(left, seeded())[:, 0, 0, 1].sum())
    assert stats.binomtest(num_flipped, COUNT, 0.5).pvalue > 1e-3


@pytest.mark.parametrize("size", [15, 16])
def test_a_rotation_is_torchvisions_to_the_pixel(size: int) -> None:
    degrees = [-15.0, -7.3, -0.4, 0.0, 3.1, 14.9, 100.7, -171.0]
    x_NCHW = noise(len(degrees), size)
    rotated = geometry.rotate(x_NCHW, torch.tensor(degrees))
    for i, angle in enumerate(degrees):
        assert torch.equal(rotated[i], theirs.rotate(x_NCHW[i], angle)), angle


def test_angles_are_uniform_to_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "rotate", lambda _, degrees_N: degrees_N)
    assert_uniform(geometry.random_rotation(torch.empty(COUNT, 1, 1, 1), seeded(), degrees=15), -15, 15)


def test_a_resize_is_torchvisions_within_a_rounding() -> None:
    x_NCHW = noise(3, 16)
    for size in (8, 15, 37):
        ours = geometry.resize(x_NCHW, size)
        assert (ours.dtype, ours.shape[2:]) == (torch.uint8, (size, size))
        exact = theirs.resize(x_NCHW.float(), [size, size])
        assert torch.equal(ours, exact.round().to(torch.uint8))
        assert (ours.int() - theirs.resize(x_NCHW, [size, size]).int()).abs().max() <= 1
    assert geometry.resize(x_NCHW, 16) is x_NCHW
