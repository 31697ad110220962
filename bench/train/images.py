"""Images, decoded once, kept as uint8 and mapped from a cache: no loader stands between data and GPU.

A 2-worker PIL pipeline feeds about 18,000 images/s, which makes every fast precision look alike. Here the
whole set moves to the device, and augmentation works on batches there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor

from bench.plan.data_place import archive_folder, cache_folder
from bench.plan.source import OTHER_DATA, folder_path
from bench.train.image_folder import Decoded, decode_folder, listing_digest

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""Channel statistics as study S3 and its successors print them."""

NUM_SYNTHETIC = 2048
"""Training images of `synthetic`; a quarter as many for the test."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """A data set in memory: (N, 3, H, W) uint8 pixels and (N,) int64 labels of both splits."""

    train_x_NCHW: Tensor
    train_y_N: Tensor
    test_x_NCHW: Tensor
    test_y_N: Tensor
    classes: tuple[str, ...]
    """Their names, in the order of the labels."""
    mean: tuple[float, float, float]
    """Per channel, of pixels scaled to [0, 1]."""
    std: tuple[float, float, float]
    sha256: str
    """Over pixels and labels of both splits."""

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        return len(self.classes)

    def to(self, device: torch.device, *, train: bool = True) -> Images:
        """Copy pixels and labels to a device; without `train` those of the test alone."""
        moving = [name for name in ARRAYS if train or name.startswith("test")]
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in moving})


def load_images(name: str, image_size: int) -> Images:
    """Load a data set by its name in an experiment file.

    The first use decodes and writes the cache (`$AMPBENCH_CACHE`, else `~/.cache/ampbench`), under a lock;
    later ones map it. A folder is decoded again when a file in it changed.

    Raises:
        ValueError: the data is not there, cannot be fetched, or is no image set; the message says what to do.
    """
    source, _, where = name.partition(":")
    decode: Callable[[], Decoded]
    if source == "folder":
        folder = folder_path(where).resolve()
        key, decode = f"folder-{listing_digest(folder)}", lambda: decode_folder(folder, image_size)
    elif source in ("cifar10", "cifar100"):
        key, decode = source, lambda: _decode_cifar(source)
    else:
        key, decode = source, {"digits": _decode_digits, "synthetic": _draw_synthetic}[source]
    cached = cache_folder() / "images" / f"{key}-{image_size}-named"  # older ones lack the classes' names
    cached.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{cached}.lock"):
        if not (cached / "facts.json").exists():
            _write_cache(cached, decode(), image_size, CIFAR_MEAN if source.startswith("cifar") else None)
    facts = json.loads((cached / "facts.json").read_text())
    # Copy-on-write maps: torch wants writable memory, and nobody writes.
    arrays = {k: torch.from_numpy(np.load(cached / f"{k}.npy", mmap_mode="c")) for k in ARRAYS}
    return Images(**arrays, sha256=facts["sha256"], **{k: tuple(facts[k]) for k in ("classes", "mean", "std")})


ARRAYS = ("train_x_NCHW", "train_y_N", "test_x_NCHW", "test_y_N")


def _write_cache(folder: Path, decoded: Decoded, size: int, mean: tuple[float, ...] | None) -> None:
    train_x, train_y, test_x, test_y, classes = decoded
    arrays = (_resize(train_x, size), train_y.astype(np.int64), _resize(test_x, size), test_y.astype(np.int64))
    digest = hashlib.sha256()
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(ARRAYS, arrays, strict=True):
        digest.update(np.ascontiguousarray(array))
        np.save(folder / f"{name}.npy", array)
    facts: dict[str, Any] = {"classes": list(classes), "sha256": digest.hexdigest()}
    if mean is not None:
        facts |= {"mean": mean, "std": CIFAR_STD}
    else:
        facts["mean"], facts["std"] = _channel_statistics(arrays[0])
    # The facts come last: their presence means that the arrays are whole.
    partial = folder / "facts.json.partial"
    partial.write_text(json.dumps(facts))
    partial.replace(folder / "facts.json")


def _channel_statistics(x_NCHW: np.ndarray) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel in [0, 1], by histograms: pixels are bytes, and floats 8."""
    counts_C256 = np.zeros((3, 256))
    for chunk in np.array_split(x_NCHW, max(1, len(x_NCHW) // 1000)):
        for channel in range(3):
            counts_C256[channel] += np.bincount(chunk[:, channel].ravel(), minlength=256)
    share_C256 = counts_C256 / counts_C256.sum(1, keepdims=True)
    levels = np.arange(256) / 255
    mean_C = share_C256 @ levels
    std_C = np.sqrt(np.maximum(share_C256 @ levels**2 - mean_C**2, 1e-6))
    return mean_C.round(4).tolist(), std_C.round(4).tolist()


def _resize(x_NCHW: np.ndarray, size: int) -> np.ndarray:
    if x_NCHW.shape[2:] == (size, size):
        return x_NCHW
    x = torch.from_numpy(x_NCHW).float()
    resized = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized.round().clamp(0, 255).to(torch.uint8).numpy()


def _decode_digits() -> Decoded:
    """1,797 handwritten digits of 8x8 pixels that scikit-learn ships (UCI ML, test set of Alpaydin & Kaynak, 1998)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    x_N1HW = np.rint(digits.images[:, None] * (255 / 16)).astype(np.uint8)
    train_x, test_x, train_y, test_y = train_test_split(
        x_N1HW.repeat(3, axis=1), digits.target, test_size=360, stratify=digits.target, random_state=0
    )
    return train_x, train_y, test_x, test_y, "0123456789"


def _draw_synthetic() -> Decoded:
    """Noise around one pattern a class: random bits, since zeros would run faster than data ever does."""
    rng = np.random.default_rng(0)
    pattern_KCHW = rng.integers(0, 128, (10, 3, 32, 32), dtype=np.uint8)

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        y_N = np.arange(count) % 10
        return pattern_KCHW[y_N] + rng.integers(0, 128, (count, 3, 32, 32), dtype=np.uint8), y_N

    return *draw(NUM_SYNTHETIC), *draw(NUM_SYNTHETIC // 4), "0123456789"


def _decode_cifar(name: str) -> Decoded:
    """CIFAR-10 or -100 (Krizhevsky, 2009) by torchvision: downloaded once with its md5 checked, then reused."""
    from torchvision import datasets

    root = archive_folder(name)
    root.mkdir(parents=True, exist_ok=True)
    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    try:
        train, test = (kind(root, train=split, download=True) for split in (True, False))
    except (OSError, RuntimeError) as e:
        raise ValueError(
            f"data = '{name}': download from {kind.url} failed ({e}); put {kind.filename} into {root}, "
            f"or use other data: {OTHER_DATA}"
        ) from e
    return (
        train.data.transpose(0, 3, 1, 2),
        np.array(train.targets),
        test.data.transpose(0, 3, 1, 2),
        np.array(test.targets),
        train.classes,
    )
