"""The files of a run, from a machine to another that shares no file system with it: read there, and written here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.atomic import replacing
from ampbench.bench.store.disk import unwritable
from ampbench.bench.store.run import Run
from ampbench.schema.files import CELL_FILE, RECORD

LEFT_THERE = ("checkpoint.pt", "checkpoint.previous.pt", "checkpoint.damaged.pt", CELL_FILE)
"""Checkpoints are of no use without the node that they are on; cell.json is written by whoever has the folder."""


def files_of(folder: Path) -> dict[str, bytes]:
    """Return name -> content of the files that a finished run leaves, and delete its folder.

    Kept weights are among them; checkpoints, locks and files that are being written are not.
    """
    paths = (path for path in folder.iterdir() if path.is_file())
    files = {path.name: path.read_bytes() for path in paths if path.name[0] != "." and path.name not in LEFT_THERE}
    shutil.rmtree(folder, ignore_errors=True)
    return files


def write_files(run: Run, files: Mapping[str, bytes]) -> None:
    """Write them and cell.json, the record last: its existence means *done*.

    Raises:
        RequestError: a file cannot be written.
    """
    with keeping(run):
        run.save()
        for name in sorted(files, key=lambda name: name == RECORD):
            with replacing(run.folder / name) as partial:
                partial.write_bytes(files[name])


@contextmanager
def keeping(run: Run) -> Iterator[None]:
    """Context in which a file of a run that cannot be written is a RequestError."""
    try:
        yield
    except OSError as e:
        raise RequestError(f"{run.cell} has no record: {unwritable(e, run.folder) or e}") from None
