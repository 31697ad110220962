"""How much memory was used, by which instrument: peaks that can be reset between warm-up and steady state."""

from __future__ import annotations

import ctypes
import re
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch


class Memory(Protocol):
    """A high-water mark in bytes."""

    instrument: str
    """Recorded beside every number: two instruments are never compared."""

    def reset_peak(self) -> None:
        """Reset the high-water mark to the present level."""

    def peak_bytes(self) -> int:
        """Return the high-water mark since the last reset."""

    def now_bytes(self) -> int:
        """Return what is in use now."""

    def reserved_bytes(self) -> int | None:
        """Return the most that the allocator reserved since the last reset; None where there is no such allocator."""

    def num_allocations(self) -> int:
        """Return how often the allocator has asked the device for memory; 0 where there is no such allocator."""

    def release(self) -> None:
        """Release what the allocator holds unused, and reset the high-water marks."""


class CudaMemory:
    """torch's caching allocator: the memory of tensors, without CUDA's own context."""

    instrument = "cuda_allocator"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reset_peak(self) -> None:
        """Reset the high-water mark. torch needs an initialised allocator for it."""
        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak_bytes(self) -> int:
        """Return max_memory_allocated."""
        return torch.cuda.max_memory_allocated(self.device)

    def now_bytes(self) -> int:
        """Return memory_allocated: exact, and without a wait."""
        return torch.cuda.memory_allocated(self.device)

    def reserved_bytes(self) -> int | None:
        """Return max_memory_reserved."""
        return torch.cuda.max_memory_reserved(self.device)

    def num_allocations(self) -> int:
        """Return the number of segments allocated so far: each is a cudaMalloc, which waits for the device."""
        return int(torch.cuda.memory_stats(self.device).get("segment.all.allocated", 0))

    def release(self) -> None:
        """Empty the cache."""
        torch.cuda.empty_cache()
        self.reset_peak()


class ResidentMemory:
    """The kernel's VmHWM of this process: tensors, but also code and libraries (see baseline_bytes)."""

    instrument = "rss"

    def reset_peak(self) -> None:
        """Reset the high-water mark (proc(5), clear_refs, value 5); some sandboxes do not allow it."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Return VmHWM."""
        return self._status_bytes("VmHWM")

    def now_bytes(self) -> int:
        """Return VmRSS."""
        return self._status_bytes("VmRSS")

    @staticmethod
    def _status_bytes(name: str) -> int:
        found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found, f"Linux's /proc/self/status has {name}"
        return int(found[1]) * 1024

    def reserved_bytes(self) -> int | None:
        """Return None: the C library does not report what it holds."""
        return None

    def num_allocations(self) -> int:
        """Return 0: the C library does not report it."""
        return 0

    def release(self) -> None:
        """Ask the C library to release its free heap, where it supports that (malloc_trim(3) of glibc)."""
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
        self.reset_peak()


def memory_of(device: torch.device) -> Memory:
    """Return the instrument for a device."""
    return CudaMemory(device) if device.type == "cuda" else ResidentMemory()


OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "'out of memory'",  # NCCL's
    "CUDNN_STATUS_ALLOC_FAILED",
    "DEVICE_ALLOCATION_FAILED",
    "bad allocation",
    "std::bad_alloc",
)

NO_ROOM_TO_WORK = (
    "unable to find an engine",
    "Unable to find a valid cuDNN algorithm",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUSPARSE_STATUS_ALLOC_FAILED",
)
"""Messages of CUDA's libraries when they get no memory of their own, but for other reasons too."""

LOW_SHARE = 0.1
"""Share of a GPU's memory: with less of it free, such a message means a lack of memory: a workspace is a few GiB."""


def says_out_of_memory(error: BaseException) -> bool:
    """Whether an exception's message says that memory ran out: on a CPU torch raises a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception comes from a lack of memory; call it while the exception still holds its training alive.

    When a GPU's memory is nearly full, no cuDNN engine gets its workspace, and the message says that there is no
    engine; the free memory distinguishes this from a real lack of one.
    """
    if says_out_of_memory(error):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_ROOM_TO_WORK) and _is_low()


def _is_low() -> bool:
    try:
        free_bytes, all_bytes = torch.cuda.mem_get_info()
    except (RuntimeError, AssertionError):  # no CUDA here, or it no longer answers
        return False
    return free_bytes < LOW_SHARE * all_bytes
