"""Which files of a folder are images, of which split and class, however its owner has put it together.

    train/CLASS/*    the training set
    test/CLASS/*     the test set; val/, validation/ or valid/ where there is no test/

Only files whose suffix says nothing are opened, so a plan may list a folder too. Every file that is left out is
counted, with the reason.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.image_folder import ImageFolder, Split
from ampbench.bench.plan.image_formats import ADVICE, has_mark, readable_suffixes

TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "validation", "valid")
"""What a split's folder may be called; the first that holds folders of classes counts."""
LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
"""Files that a desktop writes by itself, in lower case; hidden ones (`.DS_Store`, `._a.jpg`) are left out too."""


def list_folder(folder: Path) -> ImageFolder:
    """List a folder of images.

    Raises:
        RequestError: a split or a class is missing or empty, or a folder cannot be read; in one line.
    """
    train, test = _split_folder(folder, TRAIN, "train"), _split_folder(folder, TEST, "test")
    left_out: Counter[str] = Counter()
    splits = [_list_split(path, left_out) for path in (train, test)]
    if splits[0].classes != splits[1].classes:
        odd = sorted(set(splits[0].classes) ^ set(splits[1].classes))
        raise RequestError(
            f"{folder}: {train.name}/ and {test.name}/ do not hold the same classes ({', '.join(odd)}); mend the folder"
        )
    others = (entry.name for entry in _entries(folder) if _is_dir(entry) and entry.name != test.name)
    unused = tuple(name for name in others if name.lower() in TEST)
    return ImageFolder(
        folder=folder, train=splits[0], test=splits[1], left_out=dict(left_out.most_common()), unused=unused
    )


def has_classes(folder: Path) -> bool:
    """Whether a folder has a training set in folders of classes."""
    there = {entry.name.lower(): Path(entry.path) for entry in _entries(folder) if _is_dir(entry)}
    return any(any(_class_folders(there[name])) for name in TRAIN if name in there)


def check_splits(folder: Path) -> None:
    """Raise RequestError if a folder has no training or no test set; only its own entries are read."""
    _split_folder(folder, TRAIN, "train")
    _split_folder(folder, TEST, "test")


def _split_folder(folder: Path, names: Sequence[str], what: str) -> Path:
    """Return the folder of a split: the first in the order of `names` that holds folders of classes, else the first."""
    there: dict[str, os.DirEntry[str]] = {}
    for entry in _entries(folder):
        name = entry.name.lower()
        if _is_dir(entry) and name in names and there.setdefault(name, entry) is not entry:
            both = " and ".join(sorted((there[name].name, entry.name)))
            raise RequestError(f"{folder}: {both} are both called {name}; move the images into one of them")
    found = [Path(there[name].path) for name in names if name in there]
    if not found:
        others = " or ".join(f"{name}/" for name in names[1:])
        raise RequestError(
            f"{str(folder)!r} has no {what}/ (nor {others}); it needs train/CLASS/*.jpg and test/CLASS/*.jpg"
        )
    return next((path for path in found if any(_class_folders(path))), found[0])


def _class_folders(split: Path) -> Iterator[os.DirEntry[str]]:
    return (entry for entry in _entries(split) if _is_dir(entry) and not _is_litter(entry.name))


def _list_split(split: Path, left_out: Counter[str]) -> Split:
    folders: dict[str, os.DirEntry[str]] = {}
    for entry in sorted(_class_folders(split), key=lambda entry: entry.name):
        name = unicodedata.normalize("NFC", entry.name)
        if name in folders:
            raise RequestError(
                f"{split}: two folders are both called {name} (their names differ in Unicode's normal form only); "
                "move the images into one of them"
            )
        folders[name] = entry
    left_out.update(
        "in no class folder" for entry in _entries(split) if not _is_dir(entry) and not _is_litter(entry.name)
    )
    classes = sorted(folders)
    if not classes:
        raise RequestError(f"{split}: holds no folder of a class; put the images into {split.name}/CLASS/")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        passed: Counter[str] = Counter()
        found = list(_images_in(folders[name].path, passed))
        left_out.update(passed)
        if not found:
            why = f" ({', '.join(f'{count} {reason}' for reason, count in passed.items())})" if passed else ""
            raise RequestError(
                f"{folders[name].path}: holds no image{why}; put at least one image into every class folder, or "
                "remove the folder"
            )
        paths += found
        labels += [label] * len(found)
    if len(classes) < 2:
        raise RequestError(f"{split}: a single class cannot be learnt; it needs two class folders or more")
    return Split(folder=split, classes=tuple(classes), paths=tuple(paths), labels=tuple(labels))


def _images_in(folder: str, passed: Counter[str]) -> Iterator[str]:
    """Yield the images of a class, in folders below it too; count in `passed` why others are none."""
    for root, files in sorted(_walk(folder), key=lambda pair: pair[0]):
        for entry in sorted(files, key=lambda entry: entry.name):
            why = _why_none(entry)
            if why is None:
                yield os.path.join(root, entry.name)
            elif why:
                passed[why] += 1


def _walk(folder: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each folder with its files, behind links too, and none twice; a link that leads back up is not followed.

    Above are the images of other classes.
    """
    here = Path(os.path.realpath(folder))
    waiting, seen = [folder], set(map(str, here.parents))
    while waiting:
        root = waiting.pop()
        place = os.path.realpath(root)
        if place in seen:
            continue
        seen.add(place)
        entries = [entry for entry in _entries(Path(root)) if not _is_litter(entry.name)]
        waiting += [entry.path for entry in entries if _is_dir(entry)]
        yield root, [entry for entry in entries if not _is_dir(entry)]


def _why_none(entry: os.DirEntry[str]) -> str | None:
    """Say why a file is no image; None if it is one. A link that leads nowhere is one, which cannot be read."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if not os.path.isfile(entry.path) and os.path.exists(entry.path):
        return "no files (a pipe, a socket or a device)"
    if suffix in readable_suffixes() or has_mark(entry.path):
        return None
    advice = f"; {ADVICE[suffix]}" if suffix in ADVICE else ""
    return f"{suffix or 'without a suffix'} (no image that Pillow reads here{advice})"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as e:
        raise RequestError(f"{folder}: cannot be looked through ({e.strerror}); mend its permissions") from None


def _is_dir(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):  # a link to itself
        return entry.is_dir()
    return False


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER or name == "__MACOSX"
