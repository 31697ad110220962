"""Where models and images come from, by name: what a plan can check without loading either."""

from __future__ import annotations

import importlib.util
import os
import re
import unicodedata
from pathlib import Path

from ampbench import models
from ampbench.bench.plan.data_place import ARCHIVES, NUM_TRAINING_IMAGES
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.plan.image_listing import check_splits, has_classes, list_folder
from ampbench.bench.plan.image_parquet import Shards, find_shards
from ampbench.models.hub import folder_of, is_hub_name
from ampbench.terminal import printable

DATA_NAMES = tuple(NUM_TRAINING_IMAGES)
OTHER_DATA = "'digits' and 'synthetic' need no download, 'folder:PATH' reads train/ and test/ class folders"


def check_model(name: str) -> None:
    """Raise RequestError if `name` is no model that could be built."""
    source, colon, what = name.partition(":")
    if not colon:
        if name not in models.NAMES:
            raise RequestError(f"{name!r} is no model. {did_you_mean(name, models.NAMES)}")
        return
    if not what or not re.fullmatch(r"[A-Za-z_][\w.]*", source):
        raise RequestError(f"{name!r} is no model: say torchvision:NAME, timm:NAME, hf:PATH or package.module:factory")
    if source == "hf":
        folder = folder_of(what) if is_hub_name(what) else folder_path(what)
        if not os.path.isfile(folder / "config.json"):
            fetch = f", or fetch it once: hf download {what}" if is_hub_name(what) else ""
            raise RequestError(f"no config.json in {str(folder)!r}; name a folder written by save_pretrained{fetch}")
        return
    package = source.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        move = f"pip install {source}" if source in ("timm", "torchvision") else "run from the folder that holds it"
        raise RequestError(f"{name!r} needs the package {package!r}, which is not found; {move}")


def check_data(name: str) -> None:
    """Raise RequestError if `name` is no data that could be read."""
    source, colon, where = name.partition(":")
    if source == "folder" and colon:
        folder = folder_path(where)
        if printable(where) != where:
            raise RequestError(f"{printable(where)!r} is not UTF-8, which tables of results are; rename the folder")
        if not os.path.isdir(folder):
            raise RequestError(f"no folder {str(folder)!r}; mend the path, or use other data ({OTHER_DATA})")
        if not has_classes(folder) and find_shards(folder) is None:
            _refuse_archives(folder)
            check_splits(folder)
    elif name not in DATA_NAMES:
        raise RequestError(f"{name!r} is no data. {did_you_mean(name, (*DATA_NAMES, 'folder:PATH'))}")


def listed_shards(folder: Path) -> Shards | None:
    """Return the Parquet files of a folder that has no folders of classes; None if it has those, or no such files."""
    return None if has_classes(folder) else find_shards(folder)


def _refuse_archives(folder: Path) -> None:
    """Refuse a folder of CIFAR's archive, which has a name of its own as data."""
    for name, archive in ARCHIVES.items():
        place = folder.parent if folder.name == archive.unpacked else folder
        if (place / archive.unpacked).is_dir() or (place / archive.file).is_file():
            raise RequestError(
                f"{str(folder)!r} holds the archive of {name} and no folders of classes; write data = '{name}', and "
                f"--data-dir {place}"
            )


def data_note(name: str) -> str | None:
    """Return what a reader of a plan should know of a folder of images; None of other data, or if there is nothing.

    Raises:
        RequestError: the folder cannot be used.
    """
    source, _, where = name.partition(":")
    if source != "folder":
        return None
    folder = folder_path(where).resolve()
    return (listed_shards(folder) or list_folder(folder)).note


def folder_path(where: str) -> Path:
    """Return the folder that `folder:WHERE` names; a relative one is relative to the current directory.

    A name may be written in another of Unicode's normal forms than on the disk, as after a copy from a Mac.

    Raises:
        RequestError: it begins with the home of a user who does not exist here.
    """
    try:
        path = Path(where).expanduser()
    except RuntimeError as e:
        raise RequestError(f"{where!r}: {e}; write the whole path") from None
    if os.path.exists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[len(found.parts) :]:
        found = found / part if os.path.exists(found / part) else _namesake(found, part)
    return found if os.path.exists(found) else path


def _namesake(folder: Path, name: str) -> Path:
    """Return the entry of a folder with the same name in any of Unicode's normal forms, else the path as it was."""
    wanted = unicodedata.normalize("NFC", name)
    try:
        return next(path for path in folder.iterdir() if unicodedata.normalize("NFC", path.name) == wanted)
    except (OSError, StopIteration):
        return folder / name
