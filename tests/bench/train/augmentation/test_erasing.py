"""Holes are torchvision's, as often, as large and where it draws them."""

from __future__ import annotations

import torch
from scipy import stats
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as theirs

from ampbench.bench.train.augmentation import erasing
from tests.support.samples import COUNT, noise, seeded


def test_a_hole_is_torchvisions_erase_and_a_border_cuts_it() -> None:
    x_NCHW = noise(3, 8) + 1.0
    boxes_4N = torch.tensor([[2, 0, -3], [1, 0, 6], [3, 0, 6], [5, 4, 6]])
    erased = erasing.erase(x_NCHW, *boxes_4N)
    assert torch.equal(erased[0], theirs.erase(x_NCHW[0], 2, 1, 3, 5, torch.zeros(1)))
    assert torch.equal(erased[1], x_NCHW[1])
    assert torch.equal(erased[2], theirs.erase(x_NCHW[2], 0, 6, 3, 2, torch.zeros(1)))


def test_a_cutouts_centre_is_uniform_over_the_image() -> None:
    """A square of 8 in 8 pixels keeps a corner whole unless its centre is at (4, 4): every centre leaves its own."""
    cut = erasing.random_cutout(torch.ones(COUNT, 1, 8, 8), seeded(), size=8)[:, 0] == 0
    rows_NH, columns_NW = cut.any(2), cut.any(1)
    assert torch.equal(cut, rows_NH[:, :, None] & columns_NW[:, None, :])
    pixel = torch.arange(8)
    centres = []
    for side in (rows_NH, columns_NW):
        first, last = (side * (8 - pixel)).argmax(1), (side * (pixel + 1)).argmax(1)
        centres.append(torch.where(first > 0, first + 4, last - 3))
    assert stats.chisquare(torch.bincount(centres[0] * 8 + centres[1], minlength=64)).pvalue > 1e-3


def test_random_erasing_draws_as_often_as_large_and_where_torchvision_does() -> None:
    erased = erasing.random_erasing(torch.ones(4 * COUNT, 1, 16, 16), seeded(), p=0.25, min_area=0.02, max_area=0.9)[
        :, 0
    ].eq(0)  # areas that often do not fit at first
    hit = erased.flatten(1).any(1)
    assert stats.binomtest(int(hit.sum()), 4 * COUNT, 0.25).pvalue > 1e-3
    rows_NH, columns_NW = erased[hit].any(2), erased[hit].any(1)
    assert torch.equal(erased[hit], rows_NH[:, :, None] & columns_NW[:, None, :])
    torch.manual_seed(0)
    transform = v2.RandomErasing(p=1, scale=(0.02, 0.9), ratio=erasing.RATIO)
    drawn = [transform.make_params([torch.empty(1, 16, 16)]) for _ in range(2_000)]
    ours = {
        "h": rows_NH.sum(1),
        "w": columns_NW.sum(1),
        "i": rows_NH.int().argmax(1),
        "j": columns_NW.int().argmax(1),
    }
    for key, samples in ours.items():
        assert stats.ks_2samp(samples.numpy(), [box[key] for box in drawn], method="asymp").pvalue > 1e-3, key
    areas = ours["h"] * ours["w"]
    assert stats.ks_2samp(areas.numpy(), [box["h"] * box["w"] for box in drawn], method="asymp").pvalue > 1e-3
