"""What the kernel lets this process have of the machine: a container with 4 GiB may stand on a machine with 64.

Both forms of control groups are read: version 2, one tree, and version 1, a tree for each resource. A group above
this process's own may be narrower, so all of them count. (Linux kernel documentation, admin-guide/cgroup-v1 and
cgroup-v2.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNLIMITED_BYTES = 2**60
"""Version 1 writes the largest number of pages instead of `max`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits of the control groups of this process; None where there is none."""

    memory_bytes: int | None = None
    memory_left_bytes: int | None = None
    """Of the group with the least left; what the kernel would give back first, cached files, counts as left."""
    num_cores: float | None = None
    """CPU time a second, as in 1.5; threads beyond it are stopped for the rest of each period."""


def read_limits(root: Path = Path("/")) -> Limits:
    """Return the limits on this process.

    Args:
        root: the folder that holds `proc/` and `sys/`; another one in tests.
    """
    memory, left, cores = [], [], []
    for folder in _groups(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is not None and limit < UNLIMITED_BYTES:
            memory.append(limit)
            used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
            left.append(max(0, limit - max(0, used - _cached_bytes(folder))))
    for folder in _groups(root, "cpu"):
        quota, period = _quota(folder)
        if quota and period:
            cores.append(quota / period)
    return Limits(
        memory_bytes=min(memory, default=None),
        memory_left_bytes=min(left, default=None),
        num_cores=min(cores, default=None),
    )


def _groups(root: Path, resource: str) -> Iterator[Path]:
    """Yield the folders of this process's group of a resource and of all groups above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        resources, _, path = rest.partition(":")
        if resources == "":
            mount = root / "sys/fs/cgroup"
        elif resource in resources.split(","):
            mount = _mount(root, resources)
        else:
            continue
        # In a container the path may be the host's, which is not there; its own group is then mounted as the root.
        own = mount / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(mount) and folder.is_dir())


def _mount(root: Path, resources: str) -> Path:
    """Return where version 1 mounts the tree of `cpu,cpuacct`, or of one of them by its own name."""
    folders = [root / "sys/fs/cgroup" / name for name in (resources, *resources.split(","))]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def _quota(folder: Path) -> tuple[int | None, int | None]:
    """Return the microseconds of CPU time in a period, and the period's."""
    try:
        words = (folder / "cpu.max").read_text().split()
        return (None, None) if words[0] == "max" else (int(words[0]), int(words[1]))
    except (OSError, ValueError, IndexError):
        quota = _number(folder / "cpu.cfs_quota_us")
        return (quota if quota and quota > 0 else None), _number(folder / "cpu.cfs_period_us")


def _cached_bytes(folder: Path) -> int:
    """Return what a group uses for cached files: the kernel drops them before it kills anything."""
    try:
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        said = {row[0]: int(row[1]) for row in rows if len(row) == 2}
    except (OSError, ValueError):
        return 0
    of_all = "total_" if "total_inactive_file" in said else ""  # version 1 counts the groups below apart
    return sum(said.get(f"{of_all}{name}", 0) for name in ("inactive_file", "active_file"))


def _number(file: Path) -> int | None:
    """Return the number in a file; None if it is not there, or says `max`."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
