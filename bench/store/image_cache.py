"""The cache of decoded images: its folders for a data set, and whether they are complete. Imports no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.plan.data_place import cache_folder
from ampbench.bench.plan.image_folder import ImageFolder
from ampbench.bench.plan.image_listing import list_folder
from ampbench.bench.plan.image_parquet import Shards
from ampbench.bench.plan.source import folder_path, listed_shards

FACTS = "facts.json"
"""In a folder of decoded images; written last, so that its presence means that the arrays are whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Of one data set at one size, in the cache."""

    decoded: Path
    """The folder that is mapped by every cell; its name changes whenever an image does."""
    growing: Path
    """What is decoded so far; it belongs to the source, and outlives a change of some of its images."""
    lock: Path
    """Held by whoever decodes the source at this size."""
    listed: ImageFolder | Shards | None = None
    """What was found in it, if it is a folder of images."""

    @property
    def is_ready(self) -> bool:
        """Whether all is decoded."""
        return (self.decoded / FACTS).exists()


def place_of(data: str, image_size: int) -> Place:
    """Return where the images of `data`, as a cell names it, are kept; looks at every file of a folder.

    Raises:
        ValueError: a file cannot be seen, as behind a link that leads nowhere.
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
