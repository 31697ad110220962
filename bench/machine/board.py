"""A board: a device that runs one cell at a time. A GPU, or the CPU, which is a board too."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """Where a cell runs, named so that every process on this machine means the same thing."""

    board_id: str
    """The GPU's UUID; `cpu`; or `cpu:i/n` for one of n simulated boards that share the CPU."""
    name: str | None = None
    """Product name of the GPU; None for a CPU."""
    driver: str | None = None
    """Version of the NVIDIA driver; None for a CPU."""
    power_cap_w: float | None = None
    """Enforced power limit; None where NVML does not report it."""
    host: str = ""
    """The machine that a launcher of several machines found it on; empty for this one."""

    @property
    def is_gpu(self) -> bool:
        """Whether cells run on CUDA."""
        return not self.board_id.startswith("cpu")

    @property
    def num_sharing(self) -> int:
        """Number of boards that share the CPU's cores; 1 unless simulated."""
        simulated = re.fullmatch(r"cpu:\d+/(\d+)", self.board_id)
        return int(simulated[1]) if simulated else 1

    def __str__(self) -> str:
        name = f"{self.name} {self.board_id[:12]}" if self.is_gpu else self.board_id
        return f"{self.host} {name}" if self.host else name
