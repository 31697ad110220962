"""One image file, decoded: of any format that Pillow reads, any size and any mode, to RGB bytes of one size.

Turned as its EXIF orientation says. Of an animation the first frame. What is transparent shows the colour below it, as
in torchvision's ImageFolder. 16 bits become 8 by their upper half.
"""

from __future__ import annotations

import io
import struct
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ampbench.bench.plan.image_formats import readable_formats
from ampbench.terminal import printable

if TYPE_CHECKING:
    from PIL import Image

BITS_PER_SAMPLE = 258
"""TIFF's tag."""


def decode_image(path: Path, size: int) -> np.ndarray:
    """Return the image of a file as (3, size, size) uint8.

    Raises:
        ValueError: it cannot be read; the message names the file and the next move.
    """
    try:
        return decode_pixels(str(path), size)
    except ValueError as e:
        raise ValueError(printable(f"{path}: no readable image ({e}); mend or remove it")) from None


def decode_pixels(file: str | io.BytesIO, size: int) -> np.ndarray:
    """Return an image as (3, size, size) uint8.

    Raises:
        ValueError: it cannot be read, or its pixels have 32 bits, of whose range nothing is known; says why.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images and damaged EXIF, one for each of a million files
            with Image.open(file, formats=readable_formats()) as image:
                image.load()
                rgb = _to_rgb(_upright(image), _spare_bits(image))
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(rgb).transpose(2, 0, 1)
    except Exception as e:  # Pillow's readers raise whatever a damaged byte leads them to
        raise ValueError(_in_words(e)) from None


def _in_words(error: Exception) -> str:
    """Return why an image could not be read, without the path that Pillow puts before it."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "in no format that Pillow reads here"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = " ".join(str(error).split()).rstrip(".")
    return words if words and isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {words}"


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF orientation says; one whose EXIF is damaged is not turned."""
    from PIL import ImageOps

    with suppress(OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, struct.error):
        return ImageOps.exif_transpose(image)
    return image


def _to_rgb(image: Image.Image, spare_bits: int) -> Image.Image:
    from PIL import Image

    if spare_bits:
        return Image.fromarray((np.asarray(image).clip(0) >> spare_bits).astype(np.uint8)).convert("RGB")
    if image.mode in ("P", "PA") and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")  # at once, Pillow would look for a colour to keep free
    return image.convert("RGB")


def _spare_bits(image: Any) -> int:
    """Return how many of a pixel's bits are beyond the upper 8; Pillow would turn such pixels white.

    Raises:
        ValueError: pixels of 32 bits.
    """
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))[0]  # a TIFF of 12 bits keeps them as 16
        return max(0, int(bits) - 8)
    if image.mode == "I" and image.format in ("PPM", "PNG"):  # 16 bits, in the lower half of 32
        return 8
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits; save them as 8 bits")
    return 0
