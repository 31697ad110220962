"""Where models and images come from, by name: what a plan can check without loading either."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import models
from bench.plan.errors import RequestError, did_you_mean

DATA_NAMES = ("digits", "cifar10", "cifar100", "synthetic")
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
        folder = folder_path(what)
        if not (folder / "config.json").is_file():
            raise RequestError(f"no config.json in {str(folder)!r}; name a folder written by save_pretrained")
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
        if not folder.is_dir():
            raise RequestError(f"no folder {str(folder)!r}; mend the path, or use other data ({OTHER_DATA})")
        for split in ("train", "test"):
            if not (folder / split).is_dir():
                raise RequestError(f"{str(folder)!r} has no {split}/; it needs train/CLASS/*.jpg and test/CLASS/*.jpg")
    elif name not in DATA_NAMES:
        raise RequestError(f"{name!r} is no data. {did_you_mean(name, (*DATA_NAMES, 'folder:PATH'))}")


def folder_path(where: str) -> Path:
    """Return the folder that `folder:WHERE` names; a relative one is relative to the current directory."""
    return Path(where).expanduser()
