"""CIFAR-10 and -100 (Krizhevsky, 2009): the archive, packed or unpacked, its Parquet form, or a download.

Whatever is unpickled has the md5 that its authors published, since a pickle could run anything.
"""

from __future__ import annotations

import hashlib
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from ampbench.bench.plan.data_place import archive_folder, parquet_folder
from ampbench.bench.plan.image_parquet import find_shards
from ampbench.bench.plan.source import OTHER_DATA
from ampbench.bench.train.images.image_parquet import decode_shards
from ampbench.bench.train.images.image_store import Decoded

OTHER_FORMS = ("binary", "matlab")
"""Versions for other languages, by a word in the archive's name."""


def decode_cifar(name: str) -> Decoded:
    """Return the images of `cifar10` or `cifar100`, downloading the archive if it is not there.

    Raises:
        ValueError: it is not there, or is damaged, and cannot be downloaded; says what is wrong with what is there.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    root = archive_folder(name)
    root.mkdir(parents=True, exist_ok=True)
    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    wrong: list[str] = []
    files = _unpacked(kind, root, wrong) or _packed(kind, root / kind.filename, wrong)
    if files is None and (folder := parquet_folder(root, name)) and (shards := find_shards(folder)):
        return decode_shards(shards, 32, lambda _done, _all: None)
    if files is None:
        try:
            download_url(kind.url, str(root), filename=kind.filename, md5=kind.tgz_md5)
        except (OSError, RuntimeError) as e:
            there = f"; {'; '.join([*wrong, *_other_forms(root)])}" if wrong or _other_forms(root) else ""
            raise ValueError(
                f"data = '{name}': download from {kind.url} failed ({e}){there}; put {kind.filename} into {root}, "
                f"or use other data: {OTHER_DATA}"
            ) from e
        files = _packed(kind, root / kind.filename, wrong)
    if files is None:
        raise ValueError(f"data = '{name}': {'; '.join(wrong)}; put {kind.filename} into {root} again")
    classes = pickle.loads(files[kind.meta["filename"]], encoding="latin1")[kind.meta["key"]]
    return *_split(files, kind.train_list), *_split(files, kind.test_list), classes


def _names(kind: Any) -> dict[str, str]:
    """Return file of the archive -> md5."""
    return dict([*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])])


def _unpacked(kind: Any, root: Path, wrong: list[str]) -> dict[str, bytes] | None:
    folder = root / kind.base_folder
    if not folder.is_dir():
        return None
    files, bad = {}, []
    for name, md5 in _names(kind).items():
        content = (folder / name).read_bytes() if (folder / name).is_file() else b""
        files[name] = content
        if hashlib.md5(content).hexdigest() != md5:
            bad.append(f"{name} {'is damaged' if content else 'is missing'}")
    if bad:
        wrong.append(f"in {folder} {', '.join(bad)}")
    return None if bad else files


def _packed(kind: Any, archive: Path, wrong: list[str]) -> dict[str, bytes] | None:
    if not archive.is_file():
        return None
    content = archive.read_bytes()
    if hashlib.md5(content).hexdigest() != kind.tgz_md5:
        wrong.append(f"{archive} is there and is not the archive: {len(content):,} bytes, cut short or something else")
        return None
    with tarfile.open(archive) as tar:  # read as it is: the folder may be one that cannot be written
        members = {name: tar.extractfile(f"{kind.base_folder}/{name}") for name in _names(kind)}
        return {name: member.read() for name, member in members.items() if member}


def _split(files: dict[str, bytes], listed: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    batches = [pickle.loads(files[name], encoding="latin1") for name, _ in listed]
    labels = [label for batch in batches for label in batch.get("labels", batch.get("fine_labels"))]
    return np.concatenate([batch["data"].reshape(-1, 3, 32, 32) for batch in batches]), np.array(labels)


def _other_forms(root: Path) -> list[str]:
    return [
        f"{path} is the version for another language, and the one for Python is needed"
        for path in sorted(root.glob("cifar-10*"))
        if any(word in path.name for word in (*OTHER_FORMS, "batches-bin", "batches-mat"))
    ]
