"""Machines of any hardware: NVML's answers for a list of boards, and folders as the kernel's /proc and /sys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

GIB = 2**30


@dataclass(frozen=True)
class FakeBoard:
    """A board; with `slice_gib` one that MIG divides into slices of that size."""

    name: str
    gib: float
    capability: tuple[int, int] = (8, 6)
    slice_gib: float | None = None


class FakeDriver:
    """pynvml of these boards; none is a machine without a driver. A slice of the first divided board is `MIG-cc`."""

    class NVMLError(Exception):
        pass

    def __init__(self, *boards: FakeBoard) -> None:
        self.boards = boards

    def nvmlInit(self) -> None:  # noqa: N802
        if not self.boards:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlShutdown(self) -> None: ...  # noqa: N802

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.65"

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return 13000

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.boards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: int) -> int:  # noqa: N802
        if handle >= 0:
            raise self.NVMLError("Invalid Argument")
        return next(i for i, board in enumerate(self.boards) if board.slice_gib)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: int) -> int:  # noqa: N802
        return 7 if self.boards[handle].slice_gib else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int) -> int:  # noqa: N802
        if index:
            raise self.NVMLError("Not Found")
        return -1

    def nvmlDeviceGetGpuInstanceId(self, handle: int) -> int:  # noqa: N802
        return 9

    def nvmlDeviceGetComputeInstanceId(self, handle: int) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:  # noqa: N802
        if self.boards[handle].slice_gib is None:
            raise self.NVMLError("Not Supported")
        return [1, 1]

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return "MIG-cc" if handle < 0 else f"GPU-{handle:02}aa-bb"

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        if handle >= 0:
            return self.boards[handle].name
        whole = self.boards[self.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)]
        return f"{whole.name} MIG 1g.{whole.slice_gib:.0f}gb"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        if handle < 0:
            whole = self.boards[self.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)]
            return SimpleNamespace(total=int(whole.slice_gib * GIB))
        return SimpleNamespace(total=int(self.boards[handle].gib * GIB))

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:  # noqa: N802
        if handle < 0:
            raise self.NVMLError("Not Supported")
        return self.boards[handle].capability

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:  # noqa: N802
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetPciInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(busId=f"00000000:{0x3A + handle:02X}:00.0".encode())


NO_GPU = FakeDriver()
ONE_OF_8_GB = FakeDriver(FakeBoard("NVIDIA GeForce RTX 2070", 8, (7, 5)))
STUDY_S4 = FakeDriver(
    FakeBoard("NVIDIA RTX A6000", 47.99),
    FakeBoard("NVIDIA GeForce RTX 3090", 24),
    FakeBoard("NVIDIA GeForce RTX 3090", 24),
)
EIGHT_OF_80_GB = FakeDriver(*[FakeBoard("NVIDIA H100 80GB HBM3", 79.65, (9, 0))] * 8)
DIVIDED = FakeDriver(FakeBoard("NVIDIA A100-SXM4-80GB", 80, (8, 0), slice_gib=9.75))


def kernel(
    root: Path,
    *,
    flags: str = "fpu avx512_bf16",
    memory_gib: float = 64,
    free_gib: float = 60,
    cgroup: str = "0::/\n",
    nodes: tuple[str, ...] = ("0-1",),
    **files: str,
) -> Path:
    """Write the folders of a kernel and return them; `files` are further ones, with __ for each /."""
    written = {
        "proc/cpuinfo": f"processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: {flags}\n\nprocessor\t: 1\n",
        "proc/meminfo": f"MemTotal: {int(memory_gib * 2**20)} kB\nMemAvailable: {int(free_gib * 2**20)} kB\n",
        "proc/self/cgroup": cgroup,
        **{f"sys/devices/system/node/node{i}/cpulist": f"{cores}\n" for i, cores in enumerate(nodes)},
        **{name.replace("__", "/"): text for name, text in files.items()},
    }
    for name, text in written.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
