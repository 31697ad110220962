"""Where images are, by the name of the data: what a plan can say without decoding or downloading any.

CIFAR's archive is looked for in `--data-dir` (the environment variable AMPBENCH_DATA), then in `./data`, where many
scripts keep it, then in our own folder of downloads. Where none has it, it is downloaded to the first of these that was
asked for: `--data-dir`, or our own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ampbench.bench.plan.errors import RequestError

DATA_DIR = "AMPBENCH_DATA"
"""Environment variable that `--data-dir` sets, so that every worker sees it."""


NUM_TRAINING_IMAGES = {"digits": 1437, "cifar10": 50_000, "cifar100": 50_000, "synthetic": 2048}
"""Of the data sets that have a name, so that their size is known before they are loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """A file as its authors offer it (Krizhevsky, 2009, https://www.cs.toronto.edu/~kriz/cifar.html)."""

    file: str
    unpacked: str
    """The folder that is in it."""
    num_mib: int

    @property
    def url(self) -> str:
        """Where it is downloaded from."""
        return f"https://www.cs.toronto.edu/~kriz/{self.file}"


ARCHIVES = {
    "cifar10": Archive(file="cifar-10-python.tar.gz", unpacked="cifar-10-batches-py", num_mib=163),
    "cifar100": Archive(file="cifar-100-python.tar.gz", unpacked="cifar-100-python", num_mib=161),
}


def cache_folder() -> Path:
    """Return where decoded images and downloads are kept between runs.

    Raises:
        RequestError: nothing says where, and whoever asks has no home.
    """
    told = os.environ.get("AMPBENCH_CACHE")
    try:
        return Path(told).expanduser().absolute() if told else Path.home() / ".cache" / "ampbench"
    except RuntimeError as e:
        raise RequestError(f"no place for decoded images ({e}); name one with AMPBENCH_CACHE=DIR") from None


def use_data_dir(folder: Path | None) -> None:
    """Let this process and all that it starts look for archives in a folder first.

    Raises:
        RequestError: it is no folder.
    """
    if folder is None:
        return
    if not folder.expanduser().is_dir():
        raise RequestError(f"--data-dir {folder}: no such folder; make it, or name the one that holds the archive")
    os.environ[DATA_DIR] = str(folder.expanduser().absolute())


def archive_folder(name: str) -> Path:
    """Return the folder that holds the archive of `cifar10` or `cifar100`, else the one that it is downloaded to."""
    asked = os.environ.get(DATA_DIR)
    downloads = cache_folder() / "downloads"
    places = [*([Path(asked)] if asked else []), Path("data").absolute(), downloads]
    there = (place for place in places if has_archive(place, name))
    return next(there, Path(asked) if asked else downloads)


def has_archive(folder: Path, name: str) -> bool:
    """Return whether a folder holds the archive, packed or unpacked, or its Parquet form."""
    archive = ARCHIVES[name]
    there = (folder / archive.file).is_file() or (folder / archive.unpacked).is_dir()
    return there or parquet_folder(folder, name) is not None


def parquet_folder(folder: Path, name: str) -> Path | None:
    """Return the folder of Parquet files of that name: `cifar10/` in a folder, or `--data-dir` itself; else None."""
    places = [folder / name, *([folder] if str(folder) == os.environ.get(DATA_DIR) else [])]
    return next((place for place in places if any(place.glob("*.parquet")) or any(place.glob("*/*.parquet"))), None)


def state_of(name: str) -> str:
    """Say in words where the data of that name is, or comes from."""
    if name.startswith("folder:"):
        return "is there"  # else it would have been refused
    if name not in ARCHIVES:
        return "needs no download"
    if any((cache_folder() / "images").glob(f"{name}-*-named/facts.json")):
        return f"is there, decoded in {cache_folder() / 'images'}"
    folder = archive_folder(name)
    if has_archive(folder, name):
        return f"is there, in {folder}"
    archive = ARCHIVES[name]
    return f"will be downloaded to {folder} ({archive.num_mib} MiB); or put {archive.file} there"
