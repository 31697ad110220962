"""The machine and the versions that a row comes from."""

from __future__ import annotations

from dataclasses import dataclass

from ampbench.schema.column import column


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """The machine, the versions and the method by which a cell was measured."""

    board: str | None = column("", "board", "cpu, a simulated cpu:i/n, or the UUID of the GPU")
    host: str | None = column(
        "", "host", "Name of the machine in its network, by which a slow node is found; no part of the environment"
    )
    environment_id: str | None = column(
        "",
        "environment",
        "Hash of machine, versions and method; rows that differ in it are not compared",
    )
    machine: str | None = column("", "machine", "GPU name, or CPU name and core count")
    driver: str | None = column("", "driver", "Version of the NVIDIA driver; null on a CPU")
    cuda: str | None = column("", "CUDA", "Version that torch was built with; null on a CPU")
    cudnn: str | None = column("", "cuDNN", "Version that torch runs; null on a CPU")
    torch: str | None = column("", "torch", "Version")
    python: str | None = column("", "Python", "Version")
    cpu: str | None = column("", "CPU", "Model name")
    num_cores: int | None = column("", "CPU cores", "Cores that the process may use")
    cpu_affinity: str | None = column(
        "",
        "bound to cores",
        "The share of the cores of the GPU's NUMA node that its worker was bound to, as in 0-7,64-71; of rank 0 where "
        "several train; null where it was not bound",
    )
    power_cap_w: float | None = column(
        "W", "power cap", "Enforced power limit of the board; null where NVML does not report it"
    )
    switches: str | None = column("", "switches", "Environment variables that change speed or numerics, as JSON")
    git_commit: str | None = column("", "commit", "Of ampbench; null outside a checkout")
    git_dirty: bool | None = column("", "uncommitted changes", "Whether tracked files differed from the commit")
    method_version: int | None = column("", "method", "Version of the method of measurement")
