"""The folder of figures: it holds those of the present results, and what others put there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ampbench.schema.partial import partial_of
from ampbench.visualize import figures
from ampbench.visualize.show.pictures import Picture

MANIFEST = ".drawn"
"""File that lists what we wrote into the folder, a name a line: only these are ever deleted."""


def save(pictures: Iterable[Picture], folder: Path) -> None:
    """Write every picture as PNG and SVG, and delete those of an older plan.

    Each file is written completely or not at all. A file that we did not write stays.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{p.stem}.{kind}": content for p in pictures for kind, content in (("png", p.png), ("svg", p.svg))}
    files = {name: content for name, content in files.items() if content}
    before = _written_before(folder)
    _write(folder / MANIFEST, "".join(f"{name}\n" for name in sorted(before | files.keys())).encode())
    for name, content in files.items():
        _write(folder / name, content)
    for name in before - files.keys():
        (folder / name).unlink(missing_ok=True)
    _write(folder / MANIFEST, "".join(f"{name}\n" for name in sorted(files)).encode())


def _written_before(folder: Path) -> set[str]:
    """Return the names of files that we wrote; without a manifest, PNGs that are named as figures were before it."""
    there = {path.name for path in folder.iterdir() if path.is_file()}
    try:
        listed = set((folder / MANIFEST).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        known = re.compile(rf"({'|'.join(figures.load(name).name for name in figures.NAMES)})(-.+)?\.png")
        listed = {name for name in there if known.fullmatch(name)}
    return listed & there


def _write(path: Path, content: bytes) -> None:
    partial = partial_of(path)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
