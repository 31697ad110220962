"""Jitter of colours is torchvision's four functions, in an order and with factors of each image's own."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms.v2 import functional as theirs

from ampbench.bench.train.augmentation import colour
from tests.support.samples import COUNT, assert_uniform, noise, seeded

ADJUST = (
    theirs.adjust_brightness,
    theirs.adjust_contrast,
    theirs.adjust_saturation,
    theirs.adjust_hue,
)


def test_jitter_is_torchvisions_four_functions_in_each_images_own_order() -> None:
    """Greys, primaries and black are there too, at which a hue is ambiguous."""
    orders = list(torch.cartesian_prod(*[torch.arange(4)] * 4))
    order_4N = torch.stack([order for order in orders if len(set(order.tolist())) == 4], dim=1)
    count = order_4N.shape[1]
    assert count == 24
    x_NCHW = noise(count).float()
    x_NCHW[:, :, 0] = x_NCHW[:, :1, 0]
    x_NCHW[:, :, 1] = (x_NCHW[:, :, 1] > 127) * 255.0
    factor_4N = torch.rand((4, count), generator=seeded()) * torch.tensor([[1.6], [1.6], [1.6], [1.0]])
    factor_4N[3] -= 0.5
    ours = colour.jitter(x_NCHW, factor_4N, order_4N)
    for i in range(count):
        expected = x_NCHW[i] / 255
        for turn in order_4N[:, i].tolist():
            expected = ADJUST[turn](expected, factor_4N[turn, i].item())
        torch.testing.assert_close(ours[i] / 255, expected, rtol=0, atol=1e-4)


def factors(probe: Tensor, **strengths: float) -> Tensor:
    none = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    return colour.random_jitter(probe.expand(COUNT, *probe.shape), seeded(), **none | strengths)


def test_jitters_factors_are_uniform_about_no_change() -> None:
    grey = torch.full((3, 2, 2), 100, dtype=torch.uint8)
    assert_uniform(factors(grey, brightness=0.2)[:, 0, 0, 0] / 100, 0.8, 1.2)
    split = torch.tensor([[100, 140]], dtype=torch.uint8).expand(3, 1, 2)
    seen = factors(split, contrast=0.3)
    assert_uniform((seen[:, 0, 0, 1] - seen[:, 0, 0, 0]) / 40, 0.7, 1.3)
    tinted = torch.tensor([140, 100, 100], dtype=torch.uint8).view(3, 1, 1)
    seen = factors(tinted, saturation=0.4)[:, :, 0, 0]
    assert_uniform((seen[:, 0] - seen[:, 1]) / 40, 0.6, 1.4)
    seen = factors(tinted, hue=0.1)[:, :, 0, 0]
    assert_uniform((seen[:, 1] - seen[:, 2]) / 40 / 6, -0.1, 0.1)  # green rises on one side of red, blue on the other


def test_an_order_is_drawn_for_each_image() -> None:
    """A red that is brightened until it clips tells whether its saturation was changed before or after."""
    red = torch.tensor([200.0, 100.0, 100.0]).view(3, 1, 1).expand(COUNT, 3, 1, 1)
    seen = colour.random_jitter(red, seeded(), brightness=1, contrast=0, saturation=1, hue=0)
    factor_4N = 2 * torch.rand((4, COUNT), generator=seeded())
    factor_4N[colour.CONTRAST], factor_4N[colour.HUE] = 1, 0
    orders = ((0, 2, 1, 3), (2, 0, 1, 3))
    before, after = (colour.jitter(red, factor_4N, torch.tensor(order).view(4, 1).expand(4, COUNT)) for order in orders)
    is_before, is_after = ((seen - either).abs().flatten(1).amax(1) < 0.01 for either in (before, after))
    assert bool((is_before | is_after).all())
    told_apart = is_before ^ is_after
    assert int(told_apart.sum()) > COUNT / 5
    assert stats.binomtest(int(is_before[told_apart].sum()), int(told_apart.sum()), 0.5).pvalue > 1e-3
