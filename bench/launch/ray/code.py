"""The code that nodes run: in its place where they have the same, else sent to them in an archive."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ampbench.bench.launch.ray.relay import digest_of
from ampbench.path import ROOT

OURS = ("schema", "bench", "models", "visualize")
"""Folders below `ampbench` that a node may need; some of them are links in a checkout."""

PACKED = (".py", ".toml", ".json", ".jinja", ".yaml", ".txt")
"""What a package may read, and no weights or data."""


@dataclass(frozen=True)
class Code:
    """What a relay is given, so that its engine runs this code."""

    archive: bytes = b""
    """A ZIP file; empty where the nodes have the same code in the same place."""
    root: str = str(ROOT)
    folder: str = field(default_factory=lambda: str(Path.cwd()))
    """Where the command was typed."""

    @cached_property
    def digest(self) -> str:
        """A hash of it, by which a node says whether it has the same."""
        return digest_of(self.root)


def sent_code(models: Iterable[str]) -> Code:
    """Return code that is sent: ours, and the packages in the current folder that these models come from.

    Args:
        models: names as cells give them.
    """
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for file in sorted((ROOT / "ampbench").glob("*.py")):
            zipped.write(file, f"ampbench/{file.name}")
        for name in OURS:
            for file in _files(ROOT / "ampbench" / name):
                zipped.write(file, file.relative_to(ROOT))
        for name in ("requirements.txt", "requirements-dev.txt"):
            zipped.write(ROOT / name, name)
        for package in sorted({model.partition(":")[0].partition(".")[0] for model in models if ":" in model}):
            for file in _own(package):
                zipped.write(file, file.relative_to(Path.cwd()))
    return Code(archive=archive.getvalue())


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder, followlinks=True):
        yield from (Path(place) / name for name in names if name.endswith(PACKED))


def _own(package: str) -> Iterator[Path]:
    """Yield the files of a module or package of the current folder; what is installed must be so on nodes, too."""
    here = Path.cwd() / package
    if package in sys.stdlib_module_names or package == "ampbench":
        return
    if here.with_suffix(".py").is_file():
        yield here.with_suffix(".py")
    elif here.is_dir():
        yield from _files(here)
