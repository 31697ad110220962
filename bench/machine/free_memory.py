"""How much memory a board could give a new process now: of the CPU within its control group, of a GPU by NVML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil

from ampbench.bench.machine.board import Board
from ampbench.bench.machine.limits import read_limits
from ampbench.bench.machine.nvml import Nvml, Unavailable


def free_bytes(board: Board, library: Any = None, root: Path = Path("/")) -> int | None:
    """Return the bytes that are free on a board; of a CPU those that need no swapping, shared by boards that share it.

    Args:
        board: of this machine.
        library: replaces NVML's bindings in tests.
        root: the folder that holds `proc/` and `sys/`; another one in tests.

    Returns:
        None where nobody tells, as on a GPU of another machine.
    """
    if board.is_gpu:
        return _of_gpu(board, library)
    left = read_limits(root).memory_left_bytes
    available = int(psutil.virtual_memory().available)
    return (available if left is None else min(available, left)) // board.num_sharing


def _of_gpu(board: Board, library: Any) -> int | None:
    try:
        with Nvml(library) as nvml:
            memory = nvml.ask_or_none("nvmlDeviceGetMemoryInfo", nvml.handle_of(board.board_id))
            return None if memory is None else int(memory.total) - int(memory.used)
    except Unavailable:
        return None
