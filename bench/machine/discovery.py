"""Which boards this machine has: GPUs by NVML, in the order and selection of CUDA_VISIBLE_DEVICES; else the CPU.

NVML ignores CUDA_VISIBLE_DEVICES, so it is applied here. Boards are known by UUID from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.machine.board import Board
from ampbench.bench.machine.nvml import MODULE, NotInstalled, Nvml, Unavailable
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install

NVIDIA_DEVICE = "/dev/nvidiactl"
"""Exists where NVIDIA's driver is loaded."""

NO_GPU = ("", "-1", "NoDevFiles")
"""Values of CUDA_VISIBLE_DEVICES that hide every GPU on purpose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Boards:
    """The boards to use, all of one model, and those not used."""

    used: tuple[Board, ...]
    ignored: tuple[Board, ...] = ()
    """Visible boards of another model: a comparison never spans two models."""


def find_boards(environ: Mapping[str, str], library: Any = None) -> tuple[Board, ...]:
    """Return the visible boards.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` (indices or UUIDs, or empty for none) selects GPUs;
            `AMPBENCH_CPU_BOARDS=n` makes a machine without GPUs pretend to have n boards that share its cores,
            to try out queues. Rows of simulated boards say so.
        library: replaces NVML's bindings in tests.

    Raises:
        RequestError: CUDA_VISIBLE_DEVICES or AMPBENCH_CPU_BOARDS name boards that do not exist, or this machine has
            GPUs that would not be used because NVML's bindings are not installed.
    """
    variable = environ.get("CUDA_VISIBLE_DEVICES")
    gpus, sliced = _gpus(library, variable)
    gpus = _visible(gpus, variable)
    for board in gpus:
        if board.board_id in sliced:
            raise RequestError(
                f"{board} is cut into MIG slices, and CUDA would take one of them under the whole board's name: choose "
                "one with CUDA_VISIBLE_DEVICES=MIG-… (nvidia-smi -L lists them), or another board by its UUID"
            )
    if gpus:
        return gpus
    text = environ.get("AMPBENCH_CPU_BOARDS", "1")
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or not 1 <= int(text) <= 1024:
        raise RequestError(f"AMPBENCH_CPU_BOARDS={text}: say how many boards to simulate, as in 2, or unset it")
    count = int(text)
    return tuple(Board(board_id=f"cpu:{i}/{count}" if count > 1 else "cpu") for i in range(count))


def unheeded(environ: Mapping[str, str], boards: Sequence[Board]) -> str | None:
    """Say that CUDA_VISIBLE_DEVICES names a GPU where there is none; None if it does not, or there is one."""
    variable = environ.get("CUDA_VISIBLE_DEVICES", "")
    if variable.split(",")[0].strip() in NO_GPU or any(board.is_gpu for board in boards):
        return None
    return (
        f"CUDA_VISIBLE_DEVICES={variable} names a GPU, and NVIDIA's driver finds none here: cells run on the CPU. "
        "Unset it if that is meant, or look at nvidia-smi"
    )


def choose_boards(boards: Sequence[Board], gpus: str | None) -> Boards:
    """Choose by `--gpus`: `all`, or indices and UUIDs as CUDA_VISIBLE_DEVICES writes them.

    Without a choice the most common model is used, the first seen on a tie, and the rest is ignored.

    Raises:
        RequestError: no such board, or boards of several models were chosen by name.
    """
    if gpus in (None, "", "all"):
        models = Counter(board.name for board in boards)
        common = models.most_common(1)[0][0]
        return Boards(
            used=tuple(b for b in boards if b.name == common),
            ignored=tuple(b for b in boards if b.name != common),
        )
    assert gpus is not None
    known = ", ".join(f"{i} ({board})" for i, board in enumerate(boards))
    used: list[Board] = []
    for word in gpus.split(","):
        board = _pick(boards, word.strip())
        if board is None:
            raise RequestError(f"--gpus {gpus}: no board {word.strip()!r} here; choose from {known}")
        if board not in used:
            used.append(board)
    if len({board.name for board in used}) > 1:
        raise RequestError(f"--gpus {gpus}: boards of different models cannot be compared; choose one model of {known}")
    return Boards(used=tuple(used), ignored=tuple(b for b in boards if b not in used))


def _gpus(library: Any, variable: str | None) -> tuple[tuple[Board, ...], set[str]]:
    """Return all GPUs that NVML knows, in PCI order, and which of them MIG divides; none where there is no driver.

    Where `variable`, CUDA_VISIBLE_DEVICES, names MIG slices, those are the boards.
    """
    try:
        opened = Nvml(library)
    except NotInstalled:
        if Path(NVIDIA_DEVICE).exists():
            missing = how_to_install([MODULE])
            raise RequestError(f"the GPUs of this machine cannot be asked: {missing}") from None
        return (), set()
    except Unavailable:
        return (), set()
    slices = [word.strip() for word in (variable or "").split(",") if word.strip().startswith("MIG-")]
    with opened as nvml:
        handles = [_slice(nvml, uuid) for uuid in slices] if slices else nvml.handles()
        boards = tuple(_board(nvml, handle) for handle in handles)
        cut = [not slices and _is_cut(nvml, handle) for handle in handles]
        return boards, {board.board_id for board, is_cut in zip(boards, cut, strict=True) if is_cut}


def _board(nvml: Nvml, handle: Any) -> Board:
    """Return the board of an NVML handle."""
    power_cap_mw = nvml.ask_or_none("nvmlDeviceGetEnforcedPowerLimit", handle)
    return Board(
        board_id=nvml.ask("nvmlDeviceGetUUID", handle),
        name=nvml.ask("nvmlDeviceGetName", handle),
        driver=nvml.ask("nvmlSystemGetDriverVersion"),
        power_cap_w=None if power_cap_mw is None else power_cap_mw / 1e3,
    )


def _slice(nvml: Nvml, uuid: str) -> Any:
    """Return the NVML handle of a MIG slice."""
    try:
        return nvml.handle_of(uuid)
    except Unavailable:
        raise RequestError(f"CUDA_VISIBLE_DEVICES: no MIG slice {uuid!r} here; nvidia-smi -L lists them") from None


def _is_cut(nvml: Nvml, handle: Any) -> bool:
    """Whether a board is divided into MIG slices now; False for a board without MIG."""
    modes = nvml.ask_or_none("nvmlDeviceGetMigMode", handle)  # now, and after a reset
    return modes is not None and bool(modes[0])


def _visible(boards: tuple[Board, ...], variable: str | None) -> tuple[Board, ...]:
    """Apply CUDA_VISIBLE_DEVICES: its order counts, and the first unknown entry and all after it are hidden."""
    if variable is None or not boards:
        return boards
    chosen: list[Board] = []
    for word in variable.split(","):
        board = _pick(boards, word.strip())
        if board is None:
            if word.strip() not in NO_GPU:
                known = ", ".join(f"{i} = {b.board_id}" for i, b in enumerate(boards))
                raise RequestError(f"CUDA_VISIBLE_DEVICES={variable}: no GPU {word.strip()!r}; there are {known}")
            break
        chosen.append(board)
    return tuple(chosen)


def _pick(boards: Sequence[Board], word: str) -> Board | None:
    """Find a board by index or by the beginning of its id."""
    if word.isascii() and word.isdecimal():
        return boards[int(word)] if int(word) < len(boards) else None
    matches = [board for board in boards if word and board.board_id.startswith(word)]
    return matches[0] if len(matches) == 1 else None
