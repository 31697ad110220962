"""Changes of where the pixels of a batch are: crop, flip, rotate, resize, each for all images at once.

Every function exists twice: one is given what to do with each image, the other draws that from a generator. The draws
stay on the device, and nothing waits for them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4
"""Pixels of zeros around an image before the random crop, whatever its size (studies S1 to S4)."""


def crop(x_NCHW: Tensor, dy_N: Tensor, dx_N: Tensor) -> Tensor:
    """Crop each image out of its zero-padded self at its own offset in [0, 2 * PADDING].

    The windows are a view of the padded batch (nothing is copied for it); indexing picks one an image.
    """
    size_H, size_W = x_NCHW.shape[2:]
    padded = F.pad(x_NCHW, (PADDING,) * 4)
    windows_NCyxHW = padded.unfold(2, size_H, 1).unfold(3, size_W, 1)
    n_N = torch.arange(len(x_NCHW), device=x_NCHW.device)
    return windows_NCyxHW[n_N, :, dy_N, dx_N]


def random_crop(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Crop at offsets that are uniform in both directions."""
    offset_2N = torch.randint(0, 2 * PADDING + 1, (2, len(x_NCHW)), generator=generator, device=x_NCHW.device)
    return crop(x_NCHW, offset_2N[0], offset_2N[1])


def flip(x_NCHW: Tensor, flip_N: Tensor) -> Tensor:
    """Mirror the images whose entry in `flip_N` (bool) is set, left to right."""
    return torch.where(flip_N[:, None, None, None], x_NCHW.flip(3), x_NCHW)


def random_flip(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image with probability 0.5."""
    return flip(x_NCHW, torch.rand(len(x_NCHW), generator=generator, device=x_NCHW.device) < 0.5)


def rotate(x_NCHW: Tensor, degrees_N: Tensor) -> Tensor:
    """Rotate each square image counterclockwise about its centre: the nearest pixel, or 0 from outside.

    A grid by `F.affine_grid` would be a matrix product, which a recipe may run in TF32: with 10 bits of mantissa,
    edges would be other pixels than in fp32, and the images of a group would no longer be the same.
    """
    size = x_NCHW.shape[3]
    # Pixel centres, where -1 and 1 are the borders of the image.
    centre = torch.linspace(1 / size - 1, 1 - 1 / size, size, device=x_NCHW.device)
    y_1H1, x_11W = centre.view(1, -1, 1), centre.view(1, 1, -1)
    radians_N11 = torch.deg2rad(degrees_N).view(-1, 1, 1)
    cos_N11, sin_N11 = radians_N11.cos(), radians_N11.sin()
    from_NHW2 = torch.stack((cos_N11 * x_11W - sin_N11 * y_1H1, sin_N11 * x_11W + cos_N11 * y_1H1), dim=3)
    rotated = F.grid_sample(x_NCHW.float(), from_NHW2, mode="nearest", padding_mode="zeros", align_corners=False)
    return rotated.to(x_NCHW.dtype)


def random_rotation(x_NCHW: Tensor, generator: torch.Generator, *, degrees: float) -> Tensor:
    """Rotate by angles that are uniform in [-degrees, degrees]."""
    spread_N = 2 * torch.rand(len(x_NCHW), generator=generator, device=x_NCHW.device) - 1
    return rotate(x_NCHW, degrees * spread_N)


def resize(x_NCHW: Tensor, size: int) -> Tensor:
    """Resize uint8 images to `size` x `size` pixels, as torchvision's Resize does tensors: bilinear, antialiased.

    What has that size already comes back as it is.
    """
    if x_NCHW.shape[2:] == (size, size):
        return x_NCHW
    resized = F.interpolate(x_NCHW.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized.round_().to(x_NCHW.dtype)
