"""The GPUs of this machine as NVML describes them: memory, compute capability, and which types that is enough for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ampbench.bench.machine.driver import pci_folder, slice_handles
from ampbench.bench.machine.nvml import Nvml, Unanswered, Unavailable

Ability = Literal["fp16", "bf16", "tf32", "fp8"]

# NVIDIA, CUDA C++ Programming Guide, "Compute Capabilities"; the same limits as in bench/train/precision/precision.py.
NEEDED: dict[Ability, tuple[int, int]] = {"fp16": (7, 0), "bf16": (8, 0), "tf32": (8, 0), "fp8": (8, 9)}
"""Type -> the least compute capability whose tensor cores multiply it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """A GPU, or a MIG slice of one."""

    index: int | None
    """Its place in PCI order, as nvidia-smi counts; None for a slice."""
    board_id: str
    """UUID."""
    name: str
    memory_bytes: int | None
    """Of the slice, for a slice; None where NVML does not tell, as on boards that share the CPU's memory."""
    capability: tuple[int, int] | None
    driver: str | None = None
    cuda: str | None = None
    """The newest CUDA that the driver runs, as in 13.0."""
    numa_node: int | None = None
    """Of the CPU that it is attached to."""

    @property
    def abilities(self) -> tuple[Ability, ...]:
        """The types that its tensor cores multiply."""
        if self.capability is None:
            return ()
        return tuple(name for name, least in NEEDED.items() if self.capability >= least)

    def __str__(self) -> str:
        return f"{'MIG slice' if self.index is None else f'GPU {self.index}'}, {self.name}"


def read_gpus(library: Any = None, root: Path = Path("/")) -> tuple[Gpu, ...]:
    """Return all GPUs in PCI order, hidden ones too, and after each the MIG slices that it is cut into.

    Args:
        library: replaces NVML's bindings in tests.
        root: the folder that holds `sys/`.

    Raises:
        Unavailable: NVML cannot be asked, or a GPU does not answer.
    """
    found: list[Gpu] = []
    with Nvml(library) as nvml:
        try:
            for index, handle in enumerate(nvml.handles()):
                found.append(_gpu(nvml, handle, index, root))
                found += (_gpu(nvml, one, None, root) for one in slice_handles(nvml, handle))
        except Unanswered as e:
            raise Unavailable(f"a GPU does not answer: {e}") from None
    return tuple(found)


def why_no_gpu(library: Any = None) -> str | None:
    """Say why NVML lists no GPU; None if it lists one."""
    try:
        found = read_gpus(library)
    except Unavailable as e:
        return str(e)
    return None if found else "NVIDIA's driver is loaded and finds no GPU"


def _gpu(nvml: Nvml, handle: Any, index: int | None, root: Path) -> Gpu:
    memory = nvml.ask_or_none("nvmlDeviceGetMemoryInfo", handle)
    cuda = nvml.ask_or_none("nvmlSystemGetCudaDriverVersion")
    return Gpu(
        index=index,
        board_id=nvml.ask("nvmlDeviceGetUUID", handle),
        name=nvml.ask("nvmlDeviceGetName", handle),
        memory_bytes=None if memory is None else int(memory.total),
        capability=_capability(nvml, handle),
        driver=nvml.ask_or_none("nvmlSystemGetDriverVersion"),
        cuda=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        numa_node=_numa_node(nvml, handle, root),
    )


def _capability(nvml: Nvml, handle: Any) -> tuple[int, int] | None:
    """Return the compute capability of a GPU; of a slice that is its board's."""
    for asked in (handle, nvml.ask_or_none("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle)):
        found = None if asked is None else nvml.ask_or_none("nvmlDeviceGetCudaComputeCapability", asked)
        if found is not None:
            return int(found[0]), int(found[1])
    return None


def _numa_node(nvml: Nvml, handle: Any, root: Path) -> int | None:
    """Return the NUMA node that the kernel names for the GPU's place on the PCI bus; None where it names none."""
    folder = pci_folder(nvml, handle, root)
    if folder is None:
        return None
    try:
        node = int((folder / "numa_node").read_text())
    except (OSError, ValueError):
        return None
    return node if node >= 0 else None
