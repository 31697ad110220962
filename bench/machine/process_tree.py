"""Which processes are our own: this one, whoever started it, and the process group that they make up together.

A test, a notebook or a script that has computed on a GPU keeps its CUDA context while it waits for the command that it
started: NVML lists it, and it is nobody else.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

CUDA_DEVICE = "/dev/nvidia-uvm"
"""CUDA opens it with its context (unified memory); NVML never does."""


def ancestor_pids() -> list[int]:
    """Return the process that started this one, the one that started that, and so on."""
    with suppress(psutil.Error):
        return [parent.pid for parent in psutil.Process().parents()]
    return []


def kin_pids() -> list[int]:
    """Return this process, its ancestors, and whatever shares its process group, as all of a shell's job do."""
    group = group_pids(os.getpgrp())
    return list(dict.fromkeys([os.getpid(), *ancestor_pids(), *group]))


def group_pids(group: int) -> list[int]:
    """Return the processes of a process group."""
    return [pid for pid in psutil.pids() if _group_of(pid) == group]


def holds_cuda(pid: int) -> bool:
    """Whether a process has a CUDA context, as far as one may see."""
    with suppress(OSError):
        return any(str(fd.readlink()) == CUDA_DEVICE for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _group_of(pid: int) -> int | None:
    with suppress(OSError):
        return os.getpgid(pid)
    return None
