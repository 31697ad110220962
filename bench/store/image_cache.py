"""The cache of decoded images: its folders for a data set, and whether they are complete. Imports no torch."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.machine.file_lock import hold_file
from ampbench.bench.plan.data_place import NUM_TRAINING_IMAGES, cache_folder
from ampbench.bench.plan.image_folder import ImageFolder
from ampbench.bench.plan.image_listing import list_folder
from ampbench.bench.plan.image_parquet import Shards
from ampbench.bench.plan.source import folder_path, listed_shards

FACTS = "facts.json"
"""In a folder of decoded images; it is written last, so that its presence means that the arrays are complete."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Of one data set at one size, in the cache."""

    decoded: Path
    """The folder that every cell maps into memory; its name changes whenever an image does."""
    growing: Path
    """Images decoded so far; the folder belongs to the source, and stays when some images change."""
    lock: Path
    """Lock of the process that decodes the source at this size."""
    listed: ImageFolder | Shards | None = None
    """What was found in the source, if it is a folder of images."""

    @property
    def is_ready(self) -> bool:
        """Whether all images are decoded."""
        return (self.decoded / FACTS).exists()

    def held(self) -> AbstractContextManager[None]:
        """Return the context of the one process that decodes."""
        return hold_file(self.lock)


def place_of(data: str, image_size: int) -> Place:
    """Return where the images of `data`, as a cell names it, are kept; looks at every file of a folder.

    Raises:
        ValueError: a file cannot be read, such as a broken link.
    """
    source, _, where = data.partition(":")
    identity = key = source
    listed: ImageFolder | Shards | None = None
    if source == "folder":
        folder = folder_path(where).resolve()
        identity = f"folder-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
        listed = listed_shards(folder) or list_folder(folder)
        key = f"folder-{listed.digest}"
    images = cache_folder() / "images"
    return Place(
        decoded=images / f"{key}-{image_size}-named",  # older ones lack the classes' names
        growing=images / f"{identity}-{image_size}-growing",
        lock=images / f"{identity}-{image_size}.lock",
        listed=listed,
    )


def num_training_images(data: str) -> int | None:
    """Return how many images `data` trains on, by its name, its folder or its Parquet files; None if unknown.

    Files that cannot be decoded are counted too.
    """
    source, _, where = data.partition(":")
    if source != "folder":
        return NUM_TRAINING_IMAGES.get(data)
    folder = folder_path(where).resolve()
    shards = listed_shards(folder)
    if shards is None:
        return len(list_folder(folder).train.paths)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return sum(pq.read_metadata(path).num_rows for path in shards.train)
    except (OSError, pa.ArrowException):
        return None
