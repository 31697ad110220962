"""A folder of images: train/CLASS/* and test/CLASS/*, of any size and mode, as anyone may have put it together."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Decoded = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Sequence[str]]
"""Pixels (N, 3, H, W) uint8 and labels (N,) of the training, of the test, and the names of the classes."""


def decode_folder(folder: Path, size: int) -> Decoded:
    """Decode all images to size x size; the classes are in alphabetical order.

    Raises:
        ValueError: an image cannot be read, or a class is missing; the message names the file and the next move.
    """
    train_x, train_y, classes = _decode_split(folder / "train", size)
    test_x, test_y, test_classes = _decode_split(folder / "test", size)
    if classes != test_classes:
        odd = sorted(set(classes) ^ set(test_classes))
        raise ValueError(f"{folder}: train/ and test/ do not hold the same classes ({', '.join(odd)}); mend the folder")
    return train_x, train_y, test_x, test_y, classes


def _decode_split(split: Path, size: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    from torchvision.datasets import ImageFolder

    try:
        images = ImageFolder(str(split), loader=lambda path: _decode_image(path, size))
    except FileNotFoundError as e:
        raise ValueError(
            f"{split}: {e}; put at least one image into every class folder, or remove the folder"
        ) from None
    if len(images.classes) < 2:
        raise ValueError(f"{split}: a single class cannot be learnt; it needs two class folders or more")
    x_NCHW = np.empty((len(images), 3, size, size), np.uint8)
    shown = time.monotonic()
    for i in range(len(images)):
        x_NCHW[i] = images[i][0]
        if time.monotonic() - shown > 2:
            shown = time.monotonic()
            print(f"decoding {split}: {i:,} of {len(images):,} images", file=sys.stderr, flush=True)
    return x_NCHW, np.array(images.targets), images.classes


def _decode_image(path: str, size: int) -> np.ndarray:
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


def listing_digest(folder: Path) -> str:
    """Hash place, names, sizes and times of all files, behind links too: it changes whenever an image does.

    Raises:
        ValueError: a file cannot be seen, as behind a link that leads nowhere.
    """
    digest = hashlib.sha256(f"{folder}\n".encode())
    for root, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(files):
            try:
                stat = os.stat(os.path.join(root, name))
            except OSError as e:
                raise ValueError(f"{e.filename}: no readable image ({e.strerror}); mend or remove it") from None
            digest.update(f"{os.path.relpath(root, folder)}/{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
