"""Which runs a sink has logged whole: a mark for each, in the experiment's folder, that names the record it was of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ampbench.bench.store.atomic import write_json
from ampbench.schema.files import RECORD, RUNS

LOGGED = ".logged"
"""In an experiment's results folder: LOGGED/SINK/RUN_FOLDER.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """That a run was logged whole."""

    record: str
    """Digest of the record that was logged: that of a run which was run again differs."""
    where: str
    """What was written of it on this machine."""
    sent: bool = False
    """Whether a server has all of it."""

    @classmethod
    def read(cls, folder: Path, sink: str, run_folder: str) -> Mark | None:
        """Return the mark of a run whose present record a sink has logged, where that still is; else None."""
        try:
            mark = cls(**json.loads(_path(folder, sink, run_folder).read_text()))
            is_whole = mark.record == digest(folder, run_folder) and Path(folder, mark.where).exists()
        except (OSError, ValueError, TypeError):
            return None
        return mark if is_whole else None

    def write(self, folder: Path, sink: str, run_folder: str) -> None:
        """Keep it."""
        path = _path(folder, sink, run_folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))


def digest(folder: Path, run_folder: str) -> str:
    """Return what names the present record of a run.

    Raises:
        OSError: it has none.
    """
    return hashlib.sha256((folder / RUNS / run_folder / RECORD).read_bytes()).hexdigest()


def _path(folder: Path, sink: str, run_folder: str) -> Path:
    return folder / LOGGED / sink / f"{run_folder}.json"
