"""The boards that NVIDIA's driver lists, in PCI order, each with the MIG slices that it is cut into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ampbench.bench.machine.affinity import cores_of, list_of
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.nvml import MODULE, NotInstalled, Nvml, Unanswered, Unavailable
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install

NVIDIA_DEVICE = "/dev/nvidiactl"
"""Exists where NVIDIA's driver is loaded."""


def boards_of_driver(library: Any = None, root: Path = Path("/")) -> tuple[Board, ...]:
    """Return all GPUs that NVML knows, whatever is visible; none where there is no driver.

    Args:
        library: replaces NVML's bindings in tests.
        root: the folder that holds `sys/`; another one in tests.

    Raises:
        RequestError: this machine has GPUs that would not be used because NVML's bindings are not installed, or one
            that does not answer.
    """
    try:
        opened = Nvml(library)
    except NotInstalled:
        if Path(NVIDIA_DEVICE).exists():
            missing = how_to_install([MODULE])
            raise RequestError(f"the GPUs of this machine cannot be asked: {missing}") from None
        return ()
    except Unavailable:
        return ()
    with opened as nvml:
        try:
            return tuple(_whole(nvml, handle, root) for handle in nvml.handles())
        except Unanswered as e:
            raise RequestError(
                f"a GPU of this machine does not answer ({e}): nvidia-smi shows which one; reset it or reboot, or "
                "run on the CPU with CUDA_VISIBLE_DEVICES="
            ) from None


def _whole(nvml: Nvml, handle: Any, root: Path) -> Board:
    power_cap_mw = nvml.ask_or_none("nvmlDeviceGetEnforcedPowerLimit", handle)
    modes = nvml.ask_or_none("nvmlDeviceGetMigMode", handle)  # now, and after a reset
    board_id, is_cut = nvml.ask("nvmlDeviceGetUUID", handle), modes is not None and bool(modes[0])
    return Board(
        board_id=board_id,
        name=nvml.ask("nvmlDeviceGetName", handle),
        driver=nvml.ask("nvmlSystemGetDriverVersion"),
        power_cap_w=None if power_cap_mw is None else power_cap_mw / 1e3,
        near=_near(nvml, handle, root),
        is_cut=is_cut,
        slices=tuple(_slice(nvml, one, board_id) for one in slice_handles(nvml, handle)) if is_cut else (),
    )


def pci_folder(nvml: Nvml, handle: Any, root: Path) -> Path | None:
    """Return the kernel's folder for a board's place on the PCI bus; None where NVML does not tell the place."""
    place = nvml.ask_or_none("nvmlDeviceGetPciInfo", handle)
    if place is None:
        return None
    bus = place.busId.decode() if isinstance(place.busId, bytes) else str(place.busId)
    return root / "sys/bus/pci/devices" / bus.lower()[-12:]


def _near(nvml: Nvml, handle: Any, root: Path) -> str:
    folder = pci_folder(nvml, handle, root)
    try:
        return list_of(cores_of((folder / "local_cpulist").read_text())) if folder else ""
    except (OSError, ValueError):
        return ""


def slice_handles(nvml: Nvml, handle: Any) -> Iterator[Any]:
    """Yield the handles of the MIG slices of a board."""
    for i in range(nvml.ask_or_none("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        try:
            yield nvml.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, i)
        except Unanswered:  # fewer slices than there may be
            continue


def _slice(nvml: Nvml, handle: Any, slice_of: str) -> Board:
    numbers = (nvml.ask_or_none(f"nvmlDeviceGet{kind}InstanceId", handle) for kind in ("Gpu", "Compute"))
    return Board(
        board_id=nvml.ask("nvmlDeviceGetUUID", handle),
        name=nvml.ask("nvmlDeviceGetName", handle),
        driver=nvml.ask("nvmlSystemGetDriverVersion"),
        slice_of=slice_of,
        instance="/".join(map(str, numbers)),
    )
