"""Decoded images on disk, as every cell maps them: written piece by piece, so that no data set is in memory twice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
import torch
import torch.nn.functional as F

from ampbench.bench.store.image_cache import FACTS
from ampbench.schema.memory import MIB
from ampbench.schema.partial import partial_of, sweep

ARRAYS = ("train_x_NCHW", "train_y_N", "test_x_NCHW", "test_y_N")

PIECE = 256
"""Images that are resized and written at a time."""


class Pixels(Protocol):
    """(N, 3, H, W) uint8 that can be read piece by piece: an array, or what stands for one on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""

    def __getitem__(self, piece: slice) -> np.ndarray: ...


Decoded = tuple[Pixels, np.ndarray, Pixels, np.ndarray, Sequence[str]]
"""Pixels and labels (N,) of the training, of the test, and the names of the classes."""


def check_room(num_images: int, size: int, cache: Path) -> None:
    """Refuse images that this machine cannot hold, before the first of them is decoded.

    Raises:
        ValueError: they do not fit into the memory, or not onto the disk of the cache.
    """
    needed = num_images * 3 * size * size
    what = f"{num_images:,} images of {size}x{size} take {_amount(needed)}"
    memory = _memory_bytes()
    if needed > memory:
        raise ValueError(
            f"{what}, and {_amount(memory)} of memory are here: the data does not fit; choose a smaller "
            "image_size or fewer images"
        )
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise ValueError(
            f"{what} in {cache}, and {_amount(free)} are free there; free some, or name another place with "
            "AMPBENCH_CACHE=DIR"
        )


def write_images(
    folder: Path, decoded: Decoded, size: int, mean_std: tuple[Sequence[float], Sequence[float]] | None
) -> None:
    """Write the arrays of a data set and what is known of it; `folder` appears whole or not at all.

    Args:
        folder: to be made; one that a kill left is replaced.
        decoded: of any size.
        size: height and width that pixels are resized to.
        mean_std: of each channel; None: they are measured on the training images.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    train_x, train_y, test_x, test_y, classes = decoded
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    partial = partial_of(folder)
    partial.mkdir()
    digest, counts_C256 = hashlib.sha256(), np.zeros((3, 256))
    try:
        for name, x_NCHW, y_N in (("train", train_x, train_y), ("test", test_x, test_y)):
            with (partial / f"{name}_x_NCHW.npy").open("wb") as file:
                shape = (len(y_N), 3, size, size)
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                for piece_NCHW in _pieces(x_NCHW, size):
                    file.write(piece_NCHW.data)
                    digest.update(piece_NCHW.data)
                    if name == "train":
                        counts_C256 += _histogram(piece_NCHW)
            np.save(partial / f"{name}_y_N.npy", y_N.astype(np.int64))
            digest.update(np.ascontiguousarray(y_N.astype(np.int64)))
        mean, std = mean_std or _channel_statistics(counts_C256)
        facts: dict[str, Any] = {"classes": list(classes), "sha256": digest.hexdigest(), "mean": mean, "std": std}
        (partial / FACTS).write_text(json.dumps(facts))
        for path in partial.iterdir():
            _sync(path)
        if not (folder / FACTS).exists():
            shutil.rmtree(folder, ignore_errors=True)
        _put(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _put(partial: Path, folder: Path) -> None:
    """Give a whole folder its name, unless another machine did so: where locks do not work, two may decode."""
    try:
        partial.replace(folder)
    except OSError:
        if not (folder / FACTS).exists():
            raise
        shutil.rmtree(partial, ignore_errors=True)


def _pieces(x_NCHW: Pixels, size: int) -> Iterator[np.ndarray]:
    for start in range(0, x_NCHW.shape[0], PIECE):
        yield np.ascontiguousarray(_resize(x_NCHW[start : start + PIECE], size))


def _resize(x_NCHW: np.ndarray, size: int) -> np.ndarray:
    if x_NCHW.shape[2:] == (size, size):
        return x_NCHW
    x = torch.from_numpy(np.ascontiguousarray(x_NCHW)).float()
    resized = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized.round().clamp(0, 255).to(torch.uint8).numpy()


def _histogram(x_NCHW: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(x_NCHW[:, channel].ravel(), minlength=256) for channel in range(3)])


def _channel_statistics(counts_C256: np.ndarray) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel in [0, 1], by histograms: pixels are bytes, and floats 8."""
    share_C256 = counts_C256 / counts_C256.sum(1, keepdims=True)
    levels = np.arange(256) / 255
    mean_C = share_C256 @ levels
    std_C = np.sqrt(np.maximum(share_C256 @ levels**2 - mean_C**2, 1e-6))
    return mean_C.round(4).tolist(), std_C.round(4).tolist()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _amount(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:,.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / MIB:,.1f} MiB"


def _memory_bytes() -> int:
    """Return the memory that a process may use here: the machine's, or less in a container."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such limit, or the word "max"
        return total
