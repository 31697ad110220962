"""Which processes are our own: this one, its ancestors, and the processes of its group.

NVML lists every process that has a CUDA context on a board. A test, a notebook or a script that has computed there
keeps its context while it waits for the command that it started: NVML lists it, and it is not foreign. Processes start
and end while they are listed, so one that has just ended, or that belongs to another user, is left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

CUDA_DEVICE = "/dev/nvidia-uvm"
"""CUDA opens this device with a context (unified memory); NVML never does."""


def ancestor_pids() -> list[int]:
    """Return the pids of this process's parent, of its parent's parent, and so on."""
    with suppress(psutil.Error):
        return [parent.pid for parent in psutil.Process().parents()]
    return []


def related_pids() -> list[int]:
    """Return the pids of this process, of its ancestors, and of its process group, such as a job of the shell."""
    group = group_pids(os.getpgrp())
    return list(dict.fromkeys([os.getpid(), *ancestor_pids(), *group]))


def group_pids(group: int) -> list[int]:
    """Return the pids of a process group."""
    return [pid for pid in psutil.pids() if _group_of(pid) == group]


def holds_cuda(pid: int) -> bool:
    """Whether a process has a CUDA context: it has `CUDA_DEVICE` open. False where its files may not be read."""
    with suppress(OSError):
        return any(str(fd.readlink()) == CUDA_DEVICE for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _group_of(pid: int) -> int | None:
    """Return the process group of a process; None once it has ended."""
    with suppress(OSError):
        return os.getpgid(pid)
    return None
