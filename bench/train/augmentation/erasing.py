"""Erasing parts of normalised images: cutout (study S2) and random erasing (study S4) set them to 0, the mean colour.

They come last, after the cast to the recipe's dtype: 0 is the same in all of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATIO = (0.3, 3.3)
"""Height over width of what random erasing takes out: torchvision's default, and S4's."""

TRIES = 10
"""Boxes that torchvision draws for an image until one fits into it."""


def erase(x_NCHW: Tensor, top_N: Tensor, left_N: Tensor, height_N: Tensor, width_N: Tensor) -> Tensor:
    """Fill one box of each image with 0. What reaches beyond a border is cut off; a box of height 0 is none."""
    row_H = torch.arange(x_NCHW.shape[2], device=x_NCHW.device)
    column_W = torch.arange(x_NCHW.shape[3], device=x_NCHW.device)
    rows_NH = (row_H >= top_N[:, None]) & (row_H < (top_N + height_N)[:, None])
    columns_NW = (column_W >= left_N[:, None]) & (column_W < (left_N + width_N)[:, None])
    inside_N1HW = rows_NH[:, None, :, None] & columns_NW[:, None, None, :]
    return torch.where(inside_N1HW, 0.0, x_NCHW)  # masked_fill would lose channels_last


def random_cutout(x_NCHW: Tensor, generator: torch.Generator, *, size: int) -> Tensor:
    """Take out one square of `size` pixels whose centre is uniform over the image, so that borders may cut it.

    DeVries & Taylor (2017), "Improved Regularization of Convolutional Neural Networks with Cutout", section 3.2: the
    square may reach beyond the image, and it is filled after normalisation.
    """
    count, _, size_H, size_W = x_NCHW.shape
    top_N = torch.randint(0, size_H, (count,), generator=generator, device=x_NCHW.device) - size // 2
    left_N = torch.randint(0, size_W, (count,), generator=generator, device=x_NCHW.device) - size // 2
    size_N = torch.full_like(top_N, size)
    return erase(x_NCHW, top_N, left_N, size_N, size_N)


def random_erasing(x_NCHW: Tensor, generator: torch.Generator, *, p: float, min_area: float, max_area: float) -> Tensor:
    """Take out, with probability `p`, one box that lies within the image.

    Zhong et al. (2020), "Random Erasing Data Augmentation", with torchvision's law: the share of the area is uniform in
    [min_area, max_area], the aspect ratio log-uniform in `RATIO`, sides are rounded; a box that does not fit is drawn
    again, and after `TRIES` in vain the image stays whole. All tries are drawn at once, so that nothing waits.
    """
    count, _, size_H, size_W = x_NCHW.shape
    area_NT, ratio_NT = torch.rand((2, count, TRIES), generator=generator, device=x_NCHW.device)
    area_NT = size_H * size_W * (min_area + (max_area - min_area) * area_NT)
    low, high = math.log(RATIO[0]), math.log(RATIO[1])
    ratio_NT = (low + (high - low) * ratio_NT).exp()
    height_NT, width_NT = (area_NT * ratio_NT).sqrt().round(), (area_NT / ratio_NT).sqrt().round()
    fits_NT = (height_NT < size_H) & (width_NT < size_W)
    first_N1 = fits_NT.int().argmax(1, keepdim=True)
    height_N, width_N = height_NT.gather(1, first_N1)[:, 0], width_NT.gather(1, first_N1)[:, 0]
    whether_N, y_N, x_N = torch.rand((3, count), generator=generator, device=x_NCHW.device)
    height_N = height_N * (fits_NT.any(1) & (whether_N < p))
    top_N, left_N = (y_N * (size_H - height_N + 1)).floor(), (x_N * (size_W - width_N + 1)).floor()
    return erase(x_NCHW, top_N, left_N, height_N, width_N)
