"""Where a number was measured: the machine, its versions, the environment variables that matter, the commit.

Two rows are compared only if they share their `environment_id`. No torch is imported, so a launcher can call this too.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from ampbench.bench.machine.affinity import bound_cores, given_cores
from ampbench.bench.machine.board import Board
from ampbench.bench.plan.packages import version_of
from ampbench.path import ROOT
from ampbench.schema.provenance import Provenance
from ampbench.schema.version import METHOD_VERSION

SWITCHES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_MODULE_LOADING",
    "KMP_AFFINITY",
    "LD_PRELOAD",
    "MKL_NUM_THREADS",
    "NCCL_ALGO",
    "NCCL_IB_DISABLE",
    "NCCL_P2P_DISABLE",
    "NCCL_P2P_LEVEL",
    "NCCL_PROTO",
    "NCCL_SHM_DISABLE",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_CUDNN_V8_API_DISABLED",
)
"""Environment variables that change speed or numerics; those that are set are recorded."""

REFUSED = {
    "NVIDIA_TF32_OVERRIDE": "it switches TF32 for every recipe, whatever the recipe says",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "it lets fp32 matrix products run in TF32",
    "ONEDNN_DEFAULT_FPMATH_MODE": "it lets fp32 run in bf16 or TF32 on the CPU",
}
"""Variables that make a recipe's name wrong -> the reason."""

EXTENSIONS_16_BIT = ("amx_bf16", "amx_fp16", "avx512_bf16", "avx512_fp16")
"""Extensions of a CPU that decide how fast it runs matrix products and convolutions in 16 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What must be equal in two rows for them to be compared."""

    machine: str
    driver: str | None
    torch: str
    python: str
    cpu: str
    num_cores: int


def machine_of(gpu: str | None, driver: str | None, *, simulated_boards: int = 1) -> Machine:
    """Describe this machine; `gpu` is the board's product name, None on a CPU."""
    cpu, cores = cpu_name(), len(given_cores())
    simulated = f", shared by {simulated_boards} simulated boards" if simulated_boards > 1 else ""
    return Machine(
        machine=gpu or f"{cpu}, {cores} cores{simulated}",
        driver=driver,
        torch=version_of("torch"),
        python=platform.python_version(),
        cpu=cpu,
        num_cores=cores,
    )


def machine_with(board: Board) -> Machine:
    """Describe this machine with one of its boards."""
    return machine_of(board.name, board.driver, simulated_boards=board.num_sharing)


def environment_id(machine: Machine, method_version: int) -> str:
    """Return the hash of what must be equal in two rows for them to be compared."""
    text = json.dumps([asdict(machine), method_version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def provenance(board: Board) -> Provenance:
    """Return where a row is measured, as far as is known without torch."""
    machine = machine_with(board)
    commit, dirty = git_state()
    return Provenance(
        **asdict(machine),
        board=board.board_id,
        host=platform.node() or None,
        power_cap_w=board.power_cap_w,
        cpu_affinity=bound_cores(),
        environment_id=environment_id(machine, METHOD_VERSION),
        method_version=METHOD_VERSION,
        switches=json.dumps(switches(os.environ)),
        git_commit=commit,
        git_dirty=dirty,
    )


def switches(environ: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Return the variables of `SWITCHES` that are set, with their values."""
    return {name: environ[name] for name in SWITCHES if name in environ}


def refused_switch(environ: os._Environ[str] | dict[str, str]) -> str | None:
    """Return why recipes would not run as their names say in this environment, or None."""
    for name, reason in REFUSED.items():
        if environ.get(name):
            return f"{name}={environ[name]} is set: {reason}; unset {name}"
    return None


@functools.cache
def cpu_name() -> str:
    """Return the CPU's model name and which of `EXTENSIONS_16_BIT` it has."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    first_core = text.partition("\n\n")[0]
    pairs = [line.split(":", 1) for line in first_core.splitlines() if ":" in line]
    described = {key.strip(): value.strip() for key, value in pairs}
    flags = set(described.get("flags", "").split())
    extensions = [flag for flag in EXTENSIONS_16_BIT if flag in flags]
    name = described.get("model name", platform.machine())
    return f"{name} ({' '.join(extensions)})" if extensions else name


@functools.cache
def git_state() -> tuple[str | None, bool | None]:
    """Return ampbench's commit and whether tracked files differ from it.

    Without a checkout they come from `AMPBENCH_GIT_COMMIT` and `AMPBENCH_GIT_DIRTY` (0 or 1).
    """
    if not (ROOT / ".git").exists():
        dirty = os.environ.get("AMPBENCH_GIT_DIRTY")
        return os.environ.get("AMPBENCH_GIT_COMMIT"), dirty == "1" if dirty else None
    try:
        git = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
        commit = git(["git", "rev-parse", "HEAD"]).stdout.strip()
        # Committed results change while they are made, and affect no number.
        dirty = git(["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results"]).stdout.strip()
        return commit, bool(dirty)
    except (OSError, subprocess.SubprocessError):
        return None, None
