"""How much memory, by which instrument: peaks that can be reset between warm-up and steady state."""

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
        """Begin a new high-water mark at the present level."""

    def peak_bytes(self) -> int:
        """Return the high-water mark since the last reset."""

    def reserved_bytes(self) -> int | None:
        """Return the most that the allocator held since the last reset; None where there is no such thing."""

    def num_allocations(self) -> int:
        """Return how often the allocator has asked the device for memory; 0 where there is no such thing."""

    def release(self) -> None:
        """Give back what the allocator holds and nobody uses, and begin new high-water marks."""


class CudaMemory:
    """torch's caching allocator: what tensors occupied, without CUDA's own context."""

    instrument = "cuda_allocator"

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def reset_peak(self) -> None:
        """Begin a new high-water mark. Torch itself asks an allocator here that may not have been initialised."""
        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak_bytes(self) -> int:
        """Return max_memory_allocated."""
        return torch.cuda.max_memory_allocated(self.device)

    def reserved_bytes(self) -> int | None:
        """Return max_memory_reserved."""
        return torch.cuda.max_memory_reserved(self.device)

    def num_allocations(self) -> int:
        """Return the segments that the caching allocator ever took: each is a cudaMalloc, and waits for the device."""
        return int(torch.cuda.memory_stats(self.device).get("segment.all.allocated", 0))

    def release(self) -> None:
        """Empty the cache."""
        torch.cuda.empty_cache()
        self.reset_peak()


class ResidentMemory:
    """The kernel's VmHWM of this process: tensors, but also code and libraries (see baseline_bytes)."""

    instrument = "rss"

    def reset_peak(self) -> None:
        """Begin a new high-water mark (proc(5), clear_refs, value 5); some sandboxes do not allow it."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Return VmHWM."""
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found, "Linux's /proc/self/status has VmHWM"
        return int(found[1]) * 1024

    def reserved_bytes(self) -> int | None:
        """Return None: the C library does not say what it holds."""
        return None

    def num_allocations(self) -> int:
        """Return 0: the C library does not say."""
        return 0

    def release(self) -> None:
        """Ask the C library to give back its free heap, where it is one that can (malloc_trim(3) of glibc)."""
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
"""What CUDA's libraries say where they could not have memory of their own, but for other reasons too."""

LOW_SHARE = 0.1
"""Of a GPU's memory: with less of it free, a library that cannot begin lacked room: a workspace is a few GiB."""


def says_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says in its own words that memory ran out: on a CPU torch raises a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception comes of a lack of memory; to be asked while it still holds the training that raised it.

    Near the end of a GPU's memory none of cuDNN's engines finds room for its workspace, and what is raised says that
    there is no engine; the memory that is free tells that from a true lack of one.
    """
    if says_out_of_memory(error):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in NO_ROOM_TO_WORK) and _is_low()


def _is_low() -> bool:
    try:
        free_bytes, all_bytes = torch.cuda.mem_get_info()
    except (RuntimeError, AssertionError):  # no CUDA here, or none that still answers
        return False
    return free_bytes < LOW_SHARE * all_bytes
