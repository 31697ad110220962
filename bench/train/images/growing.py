"""Images decoded one after the other into files that only grow: a kill loses at most one image.

`pixels` holds the images at one size, `index` a line for each: its path below the folder, size and time. An image whose
line is there is not decoded again, also after others of the folder were mended, added or removed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ampbench.bench.train.images.image_file import decode_image

OnProgress = Callable[[int, int], None]
"""Called with the number of images that are decoded, and of all."""

PROGRESS_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """Some of the images in a file of pixels, in an order of one's own; read piece by piece."""

    pixels_NCHW: np.ndarray
    """Mapped from the file."""
    places_N: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all these images as one array."""
        return (len(self.places_N), *self.pixels_NCHW.shape[1:])

    def __getitem__(self, piece: slice) -> np.ndarray:
        return self.pixels_NCHW[self.places_N[piece]]


def decode_all(paths: Sequence[Path], folder: Path, size: int, growing: Path, on_progress: OnProgress) -> Gathered:
    """Decode the images that `growing` does not hold yet, and return all of `paths`, in that order.

    Args:
        paths: of images below `folder`.
        folder: what the index's paths are relative to.
        size: height and width to decode to.
        growing: a folder for what is decoded; whoever calls holds its lock.
        on_progress: is called twice a second.

    Raises:
        ValueError: images cannot be read. All of them are named, and the others are decoded by then.
        OSError: the disk is full or cannot be written. What was decoded is kept.
    """
    growing.mkdir(parents=True, exist_ok=True)
    lines = [_line(path, folder) for path in paths]
    known = _known(growing, 3 * size * size)
    refused: list[str] = []
    called_s = 0.0
    with (growing / "pixels").open("ab") as pixels, (growing / "index").open("ab") as index:
        for i, (path, line) in enumerate(zip(paths, lines, strict=True)):
            if time.monotonic() - called_s > PROGRESS_EVERY_S:
                called_s = time.monotonic()
                on_progress(i, len(paths))
            if line in known:
                continue
            try:
                image_CHW = decode_image(path, size)
            except ValueError as e:
                refused.append(str(e))
                continue
            pixels.write(np.ascontiguousarray(image_CHW))
            pixels.flush()  # first the pixels, then the line that says they are there
            index.write(line + b"\n")
            index.flush()
            known[line] = len(known)
    if refused:
        count = f"{len(refused):,} of {len(paths):,} images cannot be read; the others are decoded and kept:\n"
        raise ValueError(refused[0] if len(refused) == 1 else count + "\n".join(refused))
    on_progress(len(paths), len(paths))
    pixels_NCHW = np.memmap(growing / "pixels", np.uint8, "r", shape=(len(known), 3, size, size))
    return Gathered(pixels_NCHW=pixels_NCHW, places_N=np.array([known[line] for line in lines]))


def _known(growing: Path, image_bytes: int) -> dict[bytes, int]:
    """Return line -> place of the images that are whole, and cut off what a kill left of another."""
    for name in ("pixels", "index"):
        (growing / name).touch()
    whole = (growing / "index").read_bytes().splitlines(keepends=True)
    whole = [line for line in whole if line.endswith(b"\n")][: (growing / "pixels").stat().st_size // image_bytes]
    os.truncate(growing / "pixels", len(whole) * image_bytes)
    os.truncate(growing / "index", sum(map(len, whole)))
    return {line[:-1]: place for place, line in enumerate(whole)}


def _line(path: Path, folder: Path) -> bytes:
    try:
        stat = path.stat()
    except OSError as e:
        raise ValueError(f"{path}: no readable image ({e.strerror}); mend or remove it") from None
    return f"{stat.st_size} {stat.st_mtime_ns} {str(path.relative_to(folder))!r}".encode(errors="surrogateescape")
