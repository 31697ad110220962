"""A board: a device that runs one cell at a time. A GPU, a MIG slice of one, or the CPU, which is a board too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """Where a cell runs, named so that every process on this machine means the same thing."""

    board_id: str
    """The UUID of the GPU or of the MIG slice; `cpu`; or `cpu:i/n` for one of n simulated boards that share the CPU."""
    name: str | None = None
    """Product name of the GPU; None for a CPU."""
    driver: str | None = None
    """Version of the NVIDIA driver; None for a CPU."""
    power_cap_w: float | None = None
    """Enforced power limit; None where NVML does not report it, and for a MIG slice, which has none of its own."""
    host: str = ""
    """The machine that a launcher of several machines found it on; empty for this one."""
    near: str = ""
    """Cores of its NUMA node, as in 0-31,64-95; empty where the kernel does not tell."""
    cores: str = ""
    """Its worker's share of them; empty where the worker is bound to none."""
    slice_of: str = ""
    """UUID of the board that this MIG slice is a part of; empty for a whole board."""
    instance: str = ""
    """GPU instance and compute instance of a MIG slice, as in 1/0."""
    is_cut: bool = False
    """Whether MIG divides it now: cells run on its slices, and none on the board itself."""
    slices: tuple[Board, ...] = ()
    """The MIG slices that it is divided into."""

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Board:
        """Return a board that runs cells, and so has no slices, from its fields as JSON holds them."""
        return cls(**{**plain, "slices": ()})

    @property
    def is_gpu(self) -> bool:
        """Whether cells run on CUDA."""
        return not self.board_id.startswith("cpu")

    @property
    def num_sharing(self) -> int:
        """Number of boards that share the CPU's cores; 1 unless simulated."""
        simulated = re.fullmatch(r"cpu:\d+/(\d+)", self.board_id)
        return int(simulated[1]) if simulated else 1

    @property
    def names(self) -> tuple[str, ...]:
        """What CUDA_VISIBLE_DEVICES may call it: its UUID; a slice also MIG-GPU-…/1/0, as before driver 470."""
        return (self.board_id, f"MIG-{self.slice_of}/{self.instance}") if self.slice_of else (self.board_id,)

    @property
    def site(self) -> str:
        """Its id among the boards of all machines: two may each have a `cpu`."""
        return f"{self.host}/{self.board_id}"

    def __str__(self) -> str:
        name = f"{self.name} {self.board_id[:12]}" if self.is_gpu else self.board_id
        return f"{self.host} {name}" if self.host else name
