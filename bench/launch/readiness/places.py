"""Whether what cells need can be written and read: the folders, room on their disks, the images."""

from __future__ import annotations

import http.client
import importlib.util
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ampbench.bench.launch.readiness.finding import Finding, Subject, failed, ok, warning
from ampbench.bench.machine.file_lock import why_unlockable
from ampbench.bench.machine.locks import lock_folder
from ampbench.bench.plan.data_place import ARCHIVES, archive_folder, cache_folder, has_archive, state_of
from ampbench.bench.plan.dry_run import MIB_PER_CELL
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.plan.source import OTHER_DATA, check_data, data_note
from ampbench.bench.store.disk import ELSEWHERE, unwritable, without_locks
from ampbench.bench.store.image_cache import place_of
from ampbench.bench.store.record import ROOM_BYTES
from ampbench.schema.memory import MIB

FEW_MIB = 2048
"""Less room than this is worth a word: weights, checkpoints and images fill it."""
NETWORK_S = 10.0


def results_writable(subject: Subject) -> Finding:
    """Whether the folder of results can be written, and has room for the records."""
    wrong = _why_unwritable(subject.results, ELSEWHERE)
    if wrong:
        return failed(wrong)
    unlockable = without_locks(subject.results)
    return warning(unlockable) if unlockable else _room(subject.results, subject.num_cells * MIB_PER_CELL, ELSEWHERE)


def cache_writable(subject: Subject) -> Finding:
    """Whether decoded images and downloads can be written, and have room."""
    move = "name another folder with AMPBENCH_CACHE=DIR"
    try:
        folder = cache_folder()
    except RequestError as e:
        return failed(str(e))
    wrong = _why_unwritable(folder, move)
    open_folders = [name for name, size in subject.data if name.startswith("folder:") and not _is_decoded(name, size)]
    if not wrong and open_folders and (unlockable := why_unlockable(folder)):  # they grow in place, image by image
        return failed(f"{folder}: no file can be locked there ({unlockable}), and images are decoded into it; {move}")
    # A download, its archive unpacked in memory, and the decoded images beside it.
    to_load = [name for name, size in subject.data if name in ARCHIVES and not _is_decoded(name, size)]
    return failed(wrong) if wrong else _room(folder, sum(2.5 * ARCHIVES[name].num_mib for name in to_load), move)


def locks_writable(_: Subject) -> Finding:
    """Whether the locks of the boards can be written."""
    move = "name another folder with AMPBENCH_LOCKS=DIR, the same for all who measure on this machine"
    try:
        folder = lock_folder()
    except OSError as e:
        return failed(f"{e.filename}: cannot be made ({e.strerror}); {move}")
    if wrong := _why_unwritable(folder, move):
        return failed(wrong)
    unlockable = why_unlockable(folder)
    unlocked = f"{folder}: no file can be locked there ({unlockable}); {move}"
    return failed(unlocked) if unlockable else ok(f"{folder} can be written")


def data_there(subject: Subject) -> Finding:
    """Whether all images are there, or can be fetched."""
    found = [_one_data(subject, name, size) for name, size in subject.data]
    said = "; ".join(one.said for one in found if one.level == "failed")
    return failed(said) if said else ok("; ".join(one.said for one in found))


def _one_data(subject: Subject, name: str, size: int) -> Finding:
    try:
        check_data(name)
        if not name.startswith("folder:") and _is_decoded(name, size):
            return ok(f"{name} is decoded")
        note = data_note(name) if subject.asks_network else None  # reads the list of all files
    except ValueError as e:
        return failed(str(e) if str(e).startswith("data = ") else f"data = '{name}': {e}")
    needed = {"digits": "sklearn", **dict.fromkeys(ARCHIVES, "torchvision")}.get(name, "numpy")
    if importlib.util.find_spec(needed) is None:
        return failed(f"data = '{name}': {how_to_install([needed])}")
    if name in ARCHIVES and subject.asks_network and not has_archive(archive_folder(name), name):
        archive = ARCHIVES[name]
        because = _why_unreachable(archive.url)
        if because:
            return failed(
                f"data = '{name}' is not here, and {archive.url} does not answer ({because}); put {archive.file} into "
                f"{archive_folder(name)}, or use other data: {OTHER_DATA}"
            )
    return ok(f"{name} {state_of(name)}" + (f" ({note})" if note else ""))


def _is_decoded(name: str, size: int) -> bool:
    try:
        return place_of(name, size).is_ready
    except RequestError:
        return False


def _why_unreachable(url: str) -> str | None:
    """Return why nothing could be downloaded from an address, by asking for its head; None if something answers."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=NETWORK_S).close()
    except urllib.error.HTTPError as e:
        return str(e) if e.code in (404, 410) else None  # another may be about asking for a head alone
    except (OSError, http.client.HTTPException) as e:
        return str(getattr(e, "reason", e))
    return None


def _why_unwritable(folder: Path, move: str) -> str | None:
    """Try to write a file into a folder, or into the nearest one above it that exists; say why that fails."""
    there = folder
    try:
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        with tempfile.NamedTemporaryFile(dir=there, prefix=".ampbench-check-") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as e:
        named = OSError(e.errno, e.strerror, str(there))
        return unwritable(named, folder, move) or f"{there}: cannot be written ({e.strerror}); {move}"
    return None


def _room(folder: Path, need_mib: float, move: str) -> Finding:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free_mib = shutil.disk_usage(there).free / MIB
    need_mib += ROOM_BYTES / MIB
    room = f"{folder} can be written, {_size(free_mib)} free"
    if free_mib < need_mib:
        return failed(
            f"{folder}: {_size(free_mib)} free, {_size(need_mib)} are needed; free some space there, or {move}"
        )
    if free_mib < FEW_MIB:
        return warning(f"{room}: little for weights and checkpoints; free some space there, or {move}")
    return ok(room)


def _size(mib: float) -> str:
    return f"{mib / 1024:,.1f} GiB" if mib >= 1024 else f"{mib:,.0f} MiB"


PLACES: dict[str, Callable[[Subject], Finding]] = {
    "results": results_writable,
    "cache": cache_writable,
    "locks": locks_writable,
    "data": data_there,
}
"""Name of a check -> the check."""
