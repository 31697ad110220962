"""Check that CUDA starts on the board that NVML named: without it, nothing of a cell can be measured."""

from __future__ import annotations

import torch

from ampbench.bench.measure.memory import is_out_of_memory


class NoCuda(Exception):
    """CUDA does not start on a machine that has a GPU; the message has torch's reason and what to try."""


def start_cuda(device: torch.device) -> None:
    """Start CUDA in this process; does nothing on a CPU.

    Raises:
        NoCuda: this torch, the driver or the permissions of this process do not allow it.
    """
    if device.type != "cuda":
        return
    if torch.version.cuda is None:
        raise NoCuda(f"torch {torch.__version__} is built without CUDA; install one that is (pytorch.org/get-started)")
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as e:
        if is_out_of_memory(e):
            raise
        because = (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(".")
        raise NoCuda(
            f"CUDA {torch.version.cuda} of torch {torch.__version__} does not start on this board, though NVML lists "
            f"it ({because}); see whether nvidia-smi names as new a CUDA, and whether /dev/nvidia-uvm opens here"
        ) from None


def hold_memory(device: torch.device, limit_bytes: int | None) -> None:
    """Let torch's allocator reserve at most so much of a GPU, so that a cell runs out of memory at the limit.

    CUDA's own context, about 0.5 GiB, is not in it. On a CPU the process has a limit already (bench/worker/process.py).
    """
    if device.type == "cuda" and limit_bytes is not None:
        share = limit_bytes / torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, share), device)
