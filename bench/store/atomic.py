"""Atomic writes: a reader finds a whole file or none, even after a kill or a power cut."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ampbench.schema.partial import partial_of

MAGIC = b"PAR1"
"""First and last bytes of a Parquet file."""


class replacing:
    """Context that gives a temporary path beside `path`, and on success fsyncs and renames it into place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = partial_of(path)

    def __enter__(self) -> Path:
        return self.partial

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.partial.unlink(missing_ok=True)
            return
        try:
            with self.partial.open("rb") as file:
                os.fsync(file.fileno())  # a full disk may be reported only here
            self.partial.replace(self.path)
        except OSError:
            self.partial.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file."""
    write_text(path, json.dumps(value, indent=1))


def seems_complete(record: Path) -> bool:
    """Whether a record begins and ends like a Parquet file: a quick check, which a truncated file fails."""
    try:
        with record.open("rb") as file:
            start = file.read(len(MAGIC))
            file.seek(-len(MAGIC), os.SEEK_END)
            return start == MAGIC == file.read()
    except OSError:
        return False
