"""Temporary names of files that are being written: one for each writer on any machine, and which were left behind.

A writer that was killed leaves its file. It is deleted later, but never one that may still be written: of a process of
this machine it is known whether it lives, and of another machine's a day without a write must have passed. The day is
measured by the clock of the file system, since the clocks of two machines may differ by hours.
"""

from __future__ import annotations

import functools
import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

DAY_NS = 24 * 3600 * 10**9
NAME = re.compile(r"\..*\.(?P<machine>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.[0-9a-f]{8}\.partial")


@functools.cache
def machine() -> str:
    """Return what process ids are unique in: this start of this machine, and this container's process ids.

    The name of a host is not enough: many are called localhost, and each container of one may have a process 7.
    """
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot[:13]}-{Path('/proc/self/ns/pid').stat().st_ino}"
    return re.sub("[^A-Za-z0-9-]", "-", os.uname().nodename[:40]) or "unnamed"


def partial_of(path: Path) -> Path:
    """Return a new temporary name beside `path`, which no other writer has, be it on another machine."""
    return path.with_name(f".{path.name[:100]}.{machine()}.{os.getpid()}.{secrets.token_hex(4)}.partial")


def sweep(folder: Path) -> None:
    """Delete the files and folders that killed writers left in a folder."""
    with suppress(OSError):
        partials = [entry.name for entry in os.scandir(folder) if entry.name.endswith(".partial")]
        foreign = [name for name in partials if not _is_ours(name)]
        limit_ns = _clock_ns(folder) - DAY_NS if foreign else 0
        for name in partials:
            with suppress(OSError):
                path = folder / name
                if path.stat().st_mtime_ns < limit_ns if name in foreign else _has_ended(name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_ours(name: str) -> bool:
    """Whether a process of this machine writes it, or did."""
    found = NAME.fullmatch(name)
    return found is not None and found["machine"] == machine()


def _has_ended(name: str) -> bool:
    """Whether the process of this machine that wrote it is no more; another one may have its number since."""
    found = NAME.fullmatch(name)
    assert found is not None, name
    try:
        os.kill(int(found["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # another user's
        return False
    return False


def _clock_ns(folder: Path) -> int:
    """Return the time by the clock that stamps the files of a folder."""
    probe = partial_of(folder / "clock")
    probe.touch()
    try:
        return probe.stat().st_mtime_ns
    finally:
        probe.unlink()
