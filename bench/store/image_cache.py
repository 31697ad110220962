"""Where decoded images are kept between runs, and whether those of a data set are there. Imports no torch."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from bench.plan.data_place import cache_folder
from bench.plan.source import folder_path

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
    if source == "folder":
        folder = folder_path(where).resolve()
        identity = f"folder-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
        key = f"folder-{listing_digest(folder)}"
    images = cache_folder() / "images"
    return Place(
        decoded=images / f"{key}-{image_size}-named",  # older ones lack the classes' names
        growing=images / f"{identity}-{image_size}-growing",
        lock=images / f"{identity}-{image_size}.lock",
    )


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
