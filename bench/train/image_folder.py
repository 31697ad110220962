"""A folder of images: train/CLASS/* and test/CLASS/*, of any size and mode, as anyone may have put it together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The images of train/ or test/, not yet opened."""

    paths: tuple[Path, ...]
    """In the order of their labels, then of their names."""
    y_N: np.ndarray
    """Labels: places in `classes`."""
    classes: tuple[str, ...]
    """In alphabetical order."""


def list_folder(folder: Path) -> tuple[Split, Split]:
    """List the images of train/ and test/; opens none of them.

    Raises:
        ValueError: a class is missing or empty; the message names it and the next move.
    """
    train, test = list_split(folder / "train"), list_split(folder / "test")
    if train.classes != test.classes:
        odd = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(f"{folder}: train/ and test/ do not hold the same classes ({', '.join(odd)}); mend the folder")
    return train, test


def list_split(split: Path) -> Split:
    """List the images of one of them.

    Raises:
        ValueError: a class is empty, or there is only one.
    """
    from torchvision.datasets import ImageFolder

    try:
        images = ImageFolder(str(split))
    except FileNotFoundError as e:
        raise ValueError(
            f"{split}: {e}; put at least one image into every class folder, or remove the folder"
        ) from None
    if len(images.classes) < 2:
        raise ValueError(f"{split}: a single class cannot be learnt; it needs two class folders or more")
    return Split(
        paths=tuple(Path(path) for path, _ in images.samples),
        y_N=np.array(images.targets),
        classes=tuple(images.classes),
    )


def decode_image(path: Path, size: int) -> np.ndarray:
    """Return an image as (3, size, size) uint8.

    Raises:
        ValueError: it cannot be read; the message names the file and the next move.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            rgb = _bytes_of(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:  # what Pillow raises on damage
        raise ValueError(f"{path}: no readable image ({e}); mend or remove it") from None
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(rgb).transpose(2, 0, 1)


def _bytes_of(image: Image.Image) -> Image.Image:
    """Return the image in 8 bits a channel: Pillow would turn all that is above 255 white.

    Raises:
        ValueError: pixels of 32 bits, of whose range nothing is known.
    """
    if image.mode in ("I", "F"):
        raise ValueError("pixels of 32 bits; save them as 8 bits")
    if not image.mode.startswith("I;16"):
        return image
    from PIL import Image

    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
