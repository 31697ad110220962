"""Images in Parquet, as Hugging Face's hub offers data sets: train-00000-of-00001.parquet and its like.

Each row holds an image as a file's bytes (`img.bytes`, `image.bytes`) and its label; nothing is opened here.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.plan.errors import RequestError

SPLIT = re.compile(r"(?:^|[-_.])(train|test|validation|valid|val)(?:[-_.0-9]|$)")
"""In the name of a file, or of the folder that it lies in."""
TESTS = ("test", "validation", "valid", "val")
"""The first of these that is there is the test set."""
DEPTHS = ("*.parquet", "*/*.parquet", "*/*/*.parquet")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shards:
    """The files of a data set, in the order of their names."""

    folder: Path
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    test_name: str
    """What the test set is called there."""
    num_left_out: int = 0

    @property
    def note(self) -> str | None:
        """What a reader of the results should know; None if there is nothing."""
        return None if self.test_name == "test" else f"{self.folder}: {self.test_name} is the test set"

    @property
    def digest(self) -> str:
        """16 hex digits over place, names, sizes and times of the files."""
        digest = hashlib.sha256(f"{self.folder} parquet\n".encode(errors="surrogateescape"))
        for path in (*self.train, *self.test):
            stat = os.stat(path)
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]


def find_shards(folder: Path) -> Shards | None:
    """Return the Parquet files of a folder and of two levels below it; None if none is of a training set.

    Raises:
        RequestError: there is a training set and no test set.
    """
    splits: dict[str, list[Path]] = {}
    for path in sorted(path for depth in DEPTHS for path in folder.glob(depth) if path.is_file()):
        match = SPLIT.search(path.stem) or SPLIT.search(path.parent.name)
        if match:
            splits.setdefault(match[1], []).append(path)
    if "train" not in splits:
        return None
    test = next((name for name in TESTS if name in splits), None)
    if test is None:
        raise RequestError(
            f"{str(folder)!r} holds Parquet files of a training set and none of a test set; put test-0.parquet or "
            "validation-0.parquet beside them"
        )
    return Shards(folder=folder, train=tuple(splits["train"]), test=tuple(splits[test]), test_name=test)
