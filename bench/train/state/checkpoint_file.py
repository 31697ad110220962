"""A training on disk, at the end of an epoch: saved whole, checked, and read back bit for bit.

Two are kept. The newest is written beside the others and renamed, so a kill at any moment leaves at least one that
is whole; one that was damaged afterwards is noticed by its checksums, and the one before takes its place.
"""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from ampbench.bench.store.atomic import replacing
from ampbench.schema.partial import sweep

NEWEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"

DAMAGED = "checkpoint.damaged.pt"
"""A newest one that could not be read: moved aside, lest the next save put it in the place of the one before."""


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers, words, lists and tables of these; keep the one before."""
    sweep(folder)
    with replacing(folder / NEWEST) as partial:
        write_state(partial, state)
        if (folder / NEWEST).exists():
            (folder / NEWEST).replace(folder / PREVIOUS)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state as torch does.

    Raises:
        OSError: the disk is full or cannot be written; torch itself would only speak of an unexpected position.
    """
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except (OSError, RuntimeError) as e:
        found: BaseException | None = e
        while found is not None and not isinstance(found, OSError):
            found = found.__context__
        if found is None or found.errno is None:
            raise
        raise OSError(found.errno, os.strerror(found.errno), str(path.parent)) from None


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint that is whole, onto the CPU; None where there is none.

    A damaged one is named on stderr and passed over. None is deleted before the training is done.
    """
    for path in (folder / NEWEST, folder / PREVIOUS):
        if path.exists():
            try:
                return read_checkpoint(path)
            except ValueError as e:
                print(f"{e}; the training goes back to the one before it", file=sys.stderr)
                if path.name == NEWEST:
                    path.replace(folder / DAMAGED)
    return None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. Nothing but data is unpickled (`weights_only=True`).

    Raises:
        ValueError: the file is truncated, was changed, or holds more than data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load does not compare the checksums
        if damaged:
            raise ValueError(f"{path}: is damaged (checksum of {damaged})")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as e:
        if "allocate memory" in str(e):
            raise MemoryError(f"{path}: {e}") from None  # the file is as good as before
        raise ValueError(f"{path}: is truncated or no checkpoint ({e})") from None
    except pickle.UnpicklingError:
        raise ValueError(f"{path}: holds more than tensors, numbers and words, and is not opened") from None
    return state


def delete_checkpoints(folder: Path) -> None:
    """Remove what a finished run needs no more."""
    sweep(folder)
    for name in (NEWEST, PREVIOUS, DAMAGED):
        (folder / name).unlink(missing_ok=True)
