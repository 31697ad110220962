"""The hardware that a training would have here: the boards used, those ignored and why, the CPU, and all limits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ampbench.bench.machine.affinity import cores_of
from ampbench.bench.machine.cpu import Cpu, read_cpu
from ampbench.bench.machine.discovery import SIMULATE, choose_boards, find_boards, surprises
from ampbench.bench.machine.gpus import Gpu, read_gpus, why_no_gpu
from ampbench.bench.machine.limits import Limits, read_limits
from ampbench.bench.machine.nvml import Unavailable
from ampbench.bench.machine.visible import VARIABLE
from ampbench.bench.plan.errors import RequestError

Tier = Literal["large", "middle", "small"]

GB = 10**9
"""Study S4 speaks of GB. A board that is sold as 24 GB has 24 GiB less what its driver keeps, which is over 24 GB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """A GPU that is not used."""

    gpu: Gpu
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Disk:
    """A file system that results or data are written to."""

    use: str
    """What is written there, as in `results`."""
    path: Path
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """What a training can use on this machine."""

    cpu: Cpu
    num_cores: int
    """That this process may run on."""
    num_cores_of_machine: int
    memory_bytes: int
    """Of the machine."""
    memory_free_bytes: int
    """That programs could take now, on the machine as a whole."""
    limits: Limits
    numa_cores: tuple[int, ...] = ()
    """Cores of each NUMA node; empty where the kernel does not tell."""
    gpus: tuple[Gpu, ...] = ()
    """Those that are used, all of one model; the first of them is the master of several."""
    ignored: tuple[Ignored, ...] = ()
    no_gpu_because: str | None = None
    """Why none is used; None if one is."""
    disks: tuple[Disk, ...] = ()
    unmeant: tuple[str, ...] = ()
    """What variables do that a person may not have meant, in words."""

    @property
    def usable_cores(self) -> int:
        """Cores that threads may keep busy: those of this process, within its group's limit."""
        limit = self.limits.num_cores
        return self.num_cores if limit is None else max(1, min(self.num_cores, int(limit)))

    @property
    def usable_memory_bytes(self) -> int:
        """Bytes that a program may take now without swapping or being killed."""
        left = self.limits.memory_left_bytes
        return self.memory_free_bytes if left is None else min(self.memory_free_bytes, left)

    @property
    def gpu_memory_gb(self) -> float:
        """Of all used GPUs together, in units of 10^9 bytes; 0 without a GPU, or where NVML does not tell."""
        return sum(gpu.memory_bytes or 0 for gpu in self.gpus) / GB

    @property
    def tier(self) -> Tier:
        """Study S4's class of the machine, by which it chose a model."""
        if len(self.gpus) >= 3 and self.gpu_memory_gb >= 60:
            return "large"
        return "middle" if len(self.gpus) >= 2 or self.gpu_memory_gb >= 40 else "small"


def find_hardware(
    environ: Mapping[str, str],
    *,
    gpus: str | None = None,
    places: Mapping[str, Path] | None = None,
    library: Any = None,
    root: Path = Path("/"),
) -> Hardware:
    """Return the hardware of this machine; what cannot be asked is said in it, nothing is raised.

    Args:
        environ: as for `find_boards`.
        gpus: as `--gpus`.
        places: use -> folder, whose disks are wanted; a folder need not exist yet.
        library: replaces NVML's bindings in tests.
        root: the folder that holds `proc/` and `sys/`; another one in tests.
    """
    used, ignored, because = _boards(environ, gpus, library, root)
    memory = _memory(root)
    return Hardware(
        cpu=read_cpu(root),
        num_cores=len(os.sched_getaffinity(0)),
        num_cores_of_machine=os.cpu_count() or 1,
        memory_bytes=memory.get("MemTotal", 0),
        memory_free_bytes=memory.get("MemAvailable", 0),
        numa_cores=tuple(_numa_cores(root)),
        limits=read_limits(root),
        gpus=used,
        ignored=ignored,
        no_gpu_because=because,
        disks=tuple(_disks(places or {})),
        unmeant=_unmeant(environ, library),
    )


def _boards(
    environ: Mapping[str, str], gpus: str | None, library: Any, root: Path
) -> tuple[tuple[Gpu, ...], tuple[Ignored, ...], str | None]:
    try:
        known = read_gpus(library, root)
    except Unavailable:
        known = ()
    try:
        visible = find_boards(environ, library)
        chosen = choose_boards(visible, gpus)
    except RequestError as e:  # as for a board that MIG divides, or bindings that are missing
        return (), tuple(Ignored(gpu=gpu, because=str(e)) for gpu in known), str(e)
    by_id = {gpu.board_id: gpu for gpu in known}
    used = tuple(by_id[board.board_id] for board in chosen.used if board.board_id in by_id)
    slices = {one.board_id for board in visible for one in board.slices}
    other = "--gpus does not choose it" if gpus not in (None, "all") else None
    aside = other or f"of another model than {chosen.used[0].name}, which is used; a comparison spans one model"
    whys = dict.fromkeys(slices, "a MIG slice, which is used where --gpus or CUDA_VISIBLE_DEVICES names it")
    whys |= {board.board_id: "cut into MIG slices" if board.is_cut else aside for board in chosen.ignored}
    hidden = f"hidden by CUDA_VISIBLE_DEVICES={environ.get('CUDA_VISIBLE_DEVICES', '')}"
    ignored = [Ignored(gpu=gpu, because=whys.get(gpu.board_id, hidden)) for gpu in known if gpu not in used]
    if used:
        return used, tuple(ignored), None
    return (), tuple(ignored), hidden if known else why_no_gpu(library)


def _unmeant(environ: Mapping[str, str], library: Any) -> tuple[str, ...]:
    if not {VARIABLE, SIMULATE} & environ.keys():  # NVML need not be opened again
        return ()
    try:
        return tuple(surprises(environ, find_boards(environ, library), library))
    except RequestError:  # said as the reason why no GPU is used
        return ()


def _memory(root: Path) -> dict[str, int]:
    """Return the lines of /proc/meminfo in bytes."""
    try:
        rows = (line.split() for line in (root / "proc/meminfo").read_text().splitlines())
        return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3}
    except (OSError, ValueError):
        return {}


def _numa_cores(root: Path) -> Iterable[int]:
    """Yield the number of cores of each NUMA node, from lists such as 0-3,8-11."""
    nodes = (root / "sys/devices/system/node").glob("node[0-9]*")
    for folder in sorted(nodes, key=lambda folder: int(folder.name.removeprefix("node"))):
        try:
            yield len(cores_of((folder / "cpulist").read_text()))
        except (OSError, ValueError):
            return


def _disks(places: Mapping[str, Path]) -> Iterable[Disk]:
    for use, path in places.items():
        for folder in (path, *path.parents):  # the nearest that exists and may be looked at
            with suppress(OSError):
                usage = shutil.disk_usage(folder)
                yield Disk(use=use, path=path, free_bytes=usage.free, total_bytes=usage.total)
                break
