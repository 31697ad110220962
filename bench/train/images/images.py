"""Images, decoded once, kept as uint8 and mapped from a cache, so that no data loader limits the speed of a training.

A pipeline of PIL with 2 worker processes brings about 18,000 images/s, and every precision that is faster would have
that same speed. Here the whole set moves to the device, and batches are augmented there.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ampbench.bench.plan.data_place import NUM_TRAINING_IMAGES, cache_folder
from ampbench.bench.plan.image_listing import list_folder
from ampbench.bench.plan.source import folder_path, listed_shards
from ampbench.bench.store.image_cache import FACTS, Place, place_of
from ampbench.bench.train.images.cifar import decode_cifar
from ampbench.bench.train.images.growing import Gathered, OnProgress, decode_all
from ampbench.bench.train.images.image_parquet import decode_shards
from ampbench.bench.train.images.image_store import ARRAYS, Decoded, check_room, write_images
from ampbench.bench.train.statuses import DataTooLarge

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
"""Channel statistics as study S3 and its successors print them."""

NUM_SYNTHETIC = NUM_TRAINING_IMAGES["synthetic"]
"""A quarter as many for the test."""


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
    num_left_out: int = 0
    """Files in the splits of a folder that are no image."""
    note: str | None = None
    """What a reader of the results should know: which files were left out and why, what the test set is."""

    @property
    def num_classes(self) -> int:
        """How many labels there are."""
        return len(self.classes)

    def to(self, device: torch.device, *, train: bool = True) -> Images:
        """Copy pixels and labels to a device; without `train` those of the test alone."""
        moving = [name for name in ARRAYS if train or name.startswith("test")]
        try:
            return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in moving})
        except torch.OutOfMemoryError:
            size = sum(getattr(self, name).nbytes for name in moving)
            raise DataTooLarge(
                f"the data, {size / 2**30:,.2f} GiB, does not fit into the memory of {device}; choose a smaller "
                "image_size, or loader = 'dataloader', which leaves the training images on the host"
            ) from None


def load_images(name: str, image_size: int) -> Images:
    """Load a data set by its name in an experiment file: map it, after decoding it if that is still to be done.

    Raises:
        ValueError: the data is not there, cannot be fetched, or is no image set; the message says what to do.
        DataTooLarge: this process may not map so much.
    """
    place = prepare_images(name, image_size)
    facts = json.loads((place.decoded / FACTS).read_text())
    try:
        # Copy-on-write maps: torch wants writable memory, and nobody writes.
        arrays = {k: torch.from_numpy(np.load(place.decoded / f"{k}.npy", mmap_mode="c")) for k in ARRAYS}
    except (OSError, MemoryError) as e:
        if isinstance(e, OSError) and e.errno != errno.ENOMEM:
            raise
        size = sum((place.decoded / f"{k}.npy").stat().st_size for k in ARRAYS)
        raise DataTooLarge(
            f"the data, {size / 2**30:,.2f} GiB, does not fit into the memory that a cell may take; choose a smaller "
            "image_size, or raise memory_gib_per_cell where it is set"
        ) from None
    classes, mean, std = (tuple(facts[key]) for key in ("classes", "mean", "std"))
    images = Images(**arrays, sha256=facts["sha256"], classes=classes, mean=mean, std=std)
    if place.listed is None:
        return images
    return dataclasses.replace(images, num_left_out=place.listed.num_left_out, note=place.listed.note)


def prepare_images(name: str, image_size: int, on_progress: OnProgress = lambda _done, _all: None) -> Place:
    """Decode a data set unless that is done, and return where it is in the cache.

    One process at a time decodes a source, under a lock. A folder is decoded again when a file in it changed, but for
    the images that did not, if the last time was cut short.

    Args:
        name: as in an experiment file.
        image_size: height and width to decode to.
        on_progress: is called now and then with the images of a folder that are decoded, and their number.

    Raises:
        ValueError: the data is not there, cannot be fetched or kept, or is no image set; the message says what to do.
    """
    place = place_of(name, image_size)
    if place.is_ready:  # before the lock, which may lie where nobody can write
        return place
    source, _, where = name.partition(":")
    cache = cache_folder()
    try:
        place.lock.parent.mkdir(parents=True, exist_ok=True)
        with place.held():
            if not place.is_ready:
                decoded = _decode(source, where, image_size, place, on_progress)
                mean_std = (CIFAR_MEAN, CIFAR_STD) if source.startswith("cifar") else None
                write_images(place.decoded, decoded, image_size, mean_std)
                shutil.rmtree(place.growing, ignore_errors=True)
    except OSError as e:
        raise ValueError(
            f"{e.filename or cache}: decoded images cannot be kept there ({e.strerror or e}); mend that, or name "
            "another place with AMPBENCH_CACHE=DIR. What is decoded so far is kept"
        ) from e
    return place


def _decode(source: str, where: str, image_size: int, place: Place, on_progress: OnProgress) -> Decoded:
    cache = place.lock.parent
    if source == "folder":
        folder = folder_path(where).resolve()
        shards = listed_shards(folder)
        if shards:
            return decode_shards(shards, image_size, on_progress)
        listed = list_folder(folder)
        train, test = listed.train, listed.test
        num_train, paths = len(train.paths), [Path(path) for path in (*train.paths, *test.paths)]
        check_room(len(paths), image_size, cache)
        both = decode_all(paths, folder, image_size, place.growing, on_progress)
        places = both.places_N[:num_train], both.places_N[num_train:]
        train_x, test_x = (Gathered(pixels_NCHW=both.pixels_NCHW, places_N=places_N) for places_N in places)
        return train_x, np.array(train.labels), test_x, np.array(test.labels), train.classes
    decoded: Decoded
    if source in ("cifar10", "cifar100"):
        decoded = decode_cifar(source)
    else:
        decoded = {"digits": _decode_digits, "synthetic": _draw_synthetic}[source]()
    check_room(len(decoded[1]) + len(decoded[3]), image_size, cache)
    return decoded


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
