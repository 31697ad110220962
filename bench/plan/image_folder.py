"""A folder of images as it was listed: both splits, their classes and files, and what was left out."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.plan.errors import RequestError
from ampbench.terminal import printable


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The images of one split, in the order of their labels and names."""

    folder: Path
    classes: tuple[str, ...]
    """Names of the class folders, in Unicode's composed form (NFC), sorted."""
    paths: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFolder:
    """Both splits, and what was left out."""

    folder: Path
    train: Split
    test: Split
    left_out: dict[str, int]
    """Why -> how many files."""
    unused: tuple[str, ...]
    """Folders beside the two splits that might be taken for a test set."""

    @property
    def num_left_out(self) -> int:
        """Files in the splits that are no image."""
        return sum(self.left_out.values())

    @property
    def note(self) -> str | None:
        """What a reader of the results should know, in a sentence without its full stop; None if there is nothing."""
        said = []
        if self.test.folder.name.lower() not in ("test", "testing"):
            unlabelled = " (test/ holds no folders of classes)" if "test" in self.unused else ""
            said.append(f"{self.test.folder.name}/ is the test set{unlabelled}")
        elif self.train.folder.samefile(self.test.folder):
            said.append(f"{self.test.folder.name}/ is {self.train.folder.name}/ itself, so no test accuracy is one")
        elif self.unused:
            said.append(f"{self.test.folder.name}/ is the test set; {', '.join(self.unused)}/ is not used")
        if self.left_out:
            reasons = ", ".join(f"{count:,} {why}" for why, count in self.left_out.items())
            total = len(self.train.paths) + len(self.test.paths) + self.num_left_out
            said.append(f"{self.num_left_out:,} of {total:,} files are left out: {reasons}")
        return printable(f"{self.folder}: {'; '.join(said)}") if said else None

    @property
    def digest(self) -> str:
        """16 hex digits over place, names, sizes and times of all images, behind links too.

        They change whenever an image does, and not when a file comes that is none.

        Raises:
            RequestError: a file cannot be seen, as behind a link that leads nowhere.
        """
        digest = hashlib.sha256(f"{self.folder}\n".encode(errors="surrogateescape"))
        for split in (self.train, self.test):
            digest.update(f"{split.folder.name} {split.classes}\n".encode(errors="surrogateescape"))
            for path, label in zip(split.paths, split.labels, strict=True):
                try:
                    stat = os.stat(path)
                except OSError as e:
                    raise RequestError(f"{path}: no readable image ({e.strerror}); mend or remove it") from None
                line = f"{label} {os.path.relpath(path, self.folder)} {stat.st_size} {stat.st_mtime_ns}\n"
                digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]
