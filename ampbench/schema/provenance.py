"""The machine and the versions that a row comes from."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """On what, from what and by which method a cell was measured."""

    board: str | None = column("", "board", "cpu, a simulated cpu:i/n, or the UUID of the GPU")
    environment_id: str | None = column(
        "",
        "environment",
        "Hash of machine, versions and method; rows that differ in it are not compared",
    )
    machine: str | None = column("", "machine", "GPU name, or CPU name and core count")
    driver: str | None = column("", "driver", "NVIDIA driver; null on a CPU")
    cuda: str | None = column("", "CUDA", "That torch was built with; null on a CPU")
    cudnn: str | None = column("", "cuDNN", "That torch runs; null on a CPU")
    torch: str | None = column("", "torch", "Version")
    python: str | None = column("", "Python", "Version")
    cpu: str | None = column("", "CPU", "Model name")
    num_cores: int | None = column("", "CPU cores", "That the process may use")
    power_cap_w: float | None = column("W", "power cap", "Enforced limit of the board; null where NVML does not say")
    switches: str | None = column("", "switches", "Environment variables that change speed or numerics, as JSON")
    git_commit: str | None = column("", "commit", "Of ampbench; null outside a checkout")
    git_dirty: bool | None = column("", "uncommitted changes", "Whether tracked files differed from the commit")
    method_version: int | None = column("", "method", "Of the way numbers are taken")
