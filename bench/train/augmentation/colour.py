"""Colour jitter of a batch: brightness, contrast, saturation and hue of every image by factors of its own.

Pixels stay in [0, 255]; divided by 255, the arithmetic is that of torchvision's functions for float images.
"""

from __future__ import annotations

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Rows of `factor_4N` and entries of `order_4N`."""


def jitter(x_NCHW: Tensor, factor_4N: Tensor, order_4N: Tensor) -> Tensor:
    """Adjust each image by its own four factors, one after another in its own order.

    Args:
        x_NCHW: fp32 pixels in [0, 255].
        factor_4N: of brightness, contrast and saturation, where 1 changes nothing; the hue's turn of the colour
            circle, where 0 changes nothing.
        order_4N: in each column, a permutation of the four.

    The first three move an image away from, or towards, another one: black, its mean grey, its greys.
    Which of the four is an image's turn is known on the device only, so all images go through every one of them, and
    `where` keeps what is due: a batch in one shared order would be cheaper, but is not what torchvision draws.
    """
    for turn_N in order_4N:
        turn_N111 = turn_N.view(-1, 1, 1, 1)
        factor_N111 = factor_4N.gather(0, turn_N[None]).view(-1, 1, 1, 1)
        grey_N1HW = grey(x_NCHW)
        mean_N111 = grey_N1HW.mean((2, 3), keepdim=True)
        other_N1HW = mean_N111 * (turn_N111 == CONTRAST) + grey_N1HW * (turn_N111 == SATURATION)
        blended = torch.lerp(other_N1HW, x_NCHW, factor_N111).clamp_(0, 255)
        x_NCHW = torch.where(turn_N111 == HUE, turn_hue(x_NCHW, factor_N111), blended)
    return x_NCHW


def grey(x_NCHW: Tensor) -> Tensor:
    """Return luma by the weights of ITU-R BT.601, (N, 1, H, W)."""
    red, green, blue = x_NCHW.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def turn_hue(x_NCHW: Tensor, turn_N111: Tensor) -> Tensor:
    """Turn every pixel's hue on the colour circle, a whole turn being 1; value and chroma of HSV stay.

    A hue in sixths of a turn is 0 at red, 2 at green, 4 at blue, and a channel falls from the value to value - chroma
    with its distance from its own colour: closed form of Smith (1978), "Color Gamut Transform Pairs".
    """
    red, green, blue = x_NCHW.split(1, dim=1)
    value_N1HW = x_NCHW.amax(1, keepdim=True)
    chroma_N1HW = value_N1HW - x_NCHW.amin(1, keepdim=True)
    span = chroma_N1HW.clamp(min=1e-12)  # a grey has no hue, and any will do
    sixths_N1HW = torch.where(
        value_N1HW == red,
        (green - blue) / span,
        torch.where(value_N1HW == green, (blue - red) / span + 2, (red - green) / span + 4),
    )
    offset_1C11 = torch.arange(5, 0, -2, device=x_NCHW.device).view(1, -1, 1, 1)
    place_NCHW = (sixths_N1HW + 6 * turn_N111 + offset_1C11).remainder(6)
    return value_N1HW - chroma_N1HW * torch.minimum(place_NCHW, 4 - place_NCHW).clamp_(0, 1)


def random_jitter(
    x_NCHW: Tensor, generator: torch.Generator, *, brightness: float, contrast: float, saturation: float, hue: float
) -> Tensor:
    """Jitter as torchvision's ColorJitter does single images: uniform factors, in an order that is uniform too.

    Each strength is the largest distance of its factor from no change. Pixels may come as uint8; fp32 is returned.
    """
    shape, device = (4, len(x_NCHW)), x_NCHW.device
    spread_4N = 2 * torch.rand(shape, generator=generator, device=device) - 1
    factors = (1 + brightness * spread_4N[0], 1 + contrast * spread_4N[1], 1 + saturation * spread_4N[2])
    factor_4N = torch.stack((*factors, hue * spread_4N[3]))
    order_4N = torch.rand(shape, generator=generator, device=device).argsort(0)
    return jitter(x_NCHW.float(), factor_4N, order_4N)
