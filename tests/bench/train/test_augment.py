"""Augmentation: what each kind does to given images is torchvision's, and what it draws follows torchvision's law."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as theirs

from ampbench.bench.plan.augmentation import KINDS, STAGES, Augmentation
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import parse_experiment
from ampbench.bench.plan.recipe import RECIPES
from ampbench.bench.train import colour, erasing, geometry
from ampbench.bench.train.augment import ACTS, Augment, Normalize
from ampbench.bench.train.images import load_images
from ampbench.bench.train.training import Training

CPU = torch.device("cpu")
COUNT = 10_000
"""Images of a statistic; a law holds where its p-value is above 0.001, by a seed that stays."""

MEAN, STD = (0.49, 0.48, 0.44), (0.2, 0.19, 0.21)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(count: int, size: int = 16) -> Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=seeded())


def normalize(dtype: torch.dtype = torch.float32, size: int = 0) -> Normalize:
    return Normalize(MEAN, STD, dtype=dtype, memory_format=torch.channels_last, device=CPU, size=size)


def assert_uniform(samples: Tensor, low: float, high: float) -> None:
    assert stats.kstest(samples.numpy(), stats.uniform(low, high - low).cdf, method="asymp").pvalue > 1e-3


# Geometry


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


# Colour

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


# Holes


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


# The whole


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


# What a cell says


def test_settings_follow_a_name_and_a_lone_one_needs_no_key() -> None:
    assert Augmentation.parse("cutout:16") == Augmentation.parse("cutout") == Augmentation.parse("cutout:size=16")
    assert Augmentation.parse("rotation:7.5").settings == {"degrees": 7.5}
    assert Augmentation.parse("erasing:p=.5").settings == {"p": 0.5, "min_area": 0.02, "max_area": 0.2}


def test_a_strength_of_jitter_that_is_not_named_is_0_and_the_bare_name_is_study_s1s() -> None:
    assert list(Augmentation.parse("jitter").settings.values()) == [0.2, 0.2, 0.2, 0.1]
    assert list(Augmentation.parse("jitter:brightness=.1, contrast=.1, hue=.1").settings.values()) == [0.1, 0.1, 0, 0.1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rotaton", "is no augmentation. Did you mean 'rotation'?"),
        ("resize:224", "evaluation needs too: write resize = 224"),
        ("flip:p=1", "names 'p', no setting of flip; there is none"),
        ("crop:", "names '', no setting of crop"),
        ("rotation:angle=3", "names 'angle', no setting of rotation; there is degrees"),
        ("jitter:.2", "names '.2', no setting of jitter; there are brightness, contrast, saturation, hue"),
        ("jitter:hue=.1,hue=.2", "names 'hue', twice"),
        ("jitter:hue=.6", "sets hue to 0.6; it should be more than 0 and at most 0.5"),
        ("jitter:contrast=0", "more than 0"),
        ("rotation:nan", "more than 0"),
        ("rotation:wide", "sets degrees to 'wide', which is no number; write degrees=NUMBER"),
        ("cutout:7.5", "a whole number, more than 0"),
        ("erasing:min_area=.3", "at least 0.3 and at most 0.2 of an image; raise max_area or lower min_area"),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        Augmentation.parse(text)


def test_colour_after_erasing_is_refused_in_one_line_of_the_experiment() -> None:
    def read(augment: str) -> tuple[str, ...]:
        text = (
            f'question = "Q?"\n[fixed]\nmodel = "LeNet"\ndata = "digits"\nprecision = "fp32"\nbatch_size = 8\n{augment}'
        )
        return parse_experiment(Path("trial.toml"), text).fixed["augment"]

    assert read('augment = ["flip", "rotation:10", "jitter", "cutout"]') == ("flip", "rotation:10", "jitter", "cutout")
    with pytest.raises(RequestError, match=r"puts 'jitter' after 'cutout', but colour comes before erasing; swap them"):
        read('augment = ["cutout", "jitter"]')
    with pytest.raises(RequestError, match=r"holds 'flop', which is no augmentation. Did you mean 'flip'"):
        read('augment = ["crop", "flop"]')
    assert [KINDS[name].stage for name in ("crop", "jitter", "cutout")] == list(STAGES)


def test_resize_is_no_part_of_the_id_where_nothing_is_resized() -> None:
    plain = Cell(model="LeNet", data="digits", precision=RECIPES["fp32"], batch_size=8)
    assert "resize" not in plain._identity()
    assert plain.input_size == 32
    assert dataclasses.replace(plain, resize=224).input_size == 224
