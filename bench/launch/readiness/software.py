"""Whether packages, environment and memory are what cells need."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Callable

from ampbench.bench.launch.readiness.finding import Finding, Subject, failed, ok, warning
from ampbench.bench.machine.provenance import refused_switch, switches
from ampbench.bench.plan.packages import DISTRIBUTIONS, MEASURING, how_to_install, missing, requirement, requirements

OLDEST_PYTHON = (3, 11)

WORKER_GIB, ROOMY_GIB = 0.5, 2.0
"""A worker with torch and LeNet takes 0.53 GiB, libraries included (a CPU, torch 2.15); less than the second leaves
little for a network and its images."""
RANK_GIB = 0.2
"""Less than what each further process of a cell on several GPUs takes for itself, where they share one CPU."""
GIB = 2**30


def python_new_enough(_: Subject) -> Finding:
    """Whether Python is one that ampbench runs on."""
    here = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        return failed(f"{here}: 3.11 or newer is needed; make a venv of one, or run make quickstart PYTHON=python3.11")
    return ok(here)


def packages_there(_: Subject) -> Finding:
    """Whether all is installed that measuring needs; what only some commands need is a warning."""
    absent = [name for name in MEASURING if importlib.util.find_spec(name) is None]
    if absent:
        return failed(how_to_install(absent))
    needed = {requirement(DISTRIBUTIONS.get(name, name)) for name in MEASURING}
    lacking = missing(line for line in requirements(["requirements.txt"]) if ">=" in line)
    shown = ("torch", "numpy", "pyarrow", "pandas")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in shown)
    if not lacking:
        return ok(versions)
    old, others = [line for line in lacking if line in needed], [line for line in lacking if line not in needed]
    said = [versions]
    said += [f"older than any that was tried: {', '.join(old)}"] if old else []
    said += [f"absent or old, and needed by some commands alone: {', '.join(others)}"] if others else []
    return warning(f"{'; '.join(said)}; python -m pip install {' '.join(map(repr, lacking))}")


def switches_harmless(subject: Subject) -> Finding:
    """Whether no environment variable makes a recipe's name untrue."""
    because = refused_switch(dict(subject.environ))
    if because:
        return failed(because)
    found = switches(dict(subject.environ))
    said = ", ".join(f"{name}={value}" for name, value in found.items())
    return ok(f"recorded with every row: {said}" if found else "none that changes speed or numerics")


def memory_enough(subject: Subject) -> Finding:
    """Whether a worker fits into the memory that is free and allowed."""
    hardware = subject.hardware
    free = hardware.usable_memory_bytes / GIB
    limit = hardware.limits.memory_bytes
    limited = f" (limited to {limit / GIB:.1f} GiB by the control group)" if limit is not None else ""
    said = f"{free:.1f} GiB can be used{limited}"
    more = "stop other programs, or give the container more"
    if not hardware.memory_bytes:
        return warning("unknown: /proc/meminfo cannot be read")
    if free < WORKER_GIB:
        return failed(f"{said}; a worker takes more than {WORKER_GIB:g} GiB: {more}")
    ranks = 1 if hardware.gpus else subject.most_ranks  # on GPUs no more are started than there are boards
    if free < (together := WORKER_GIB + RANK_GIB * (ranks - 1)):
        return failed(
            f"{said}; gpus = {ranks} starts {ranks} processes on one CPU, which take more than {together:.0f} GiB: "
            "ask for fewer, or use a machine with GPUs"
        )
    return warning(f"{said}, little for a network and its images: {more}") if free < ROOMY_GIB else ok(said)


def cores_unlimited(subject: Subject) -> Finding:
    """Whether torch would start more threads than may run."""
    hardware = subject.hardware
    limit = hardware.limits.num_cores
    if limit is not None and limit < hardware.num_cores:
        return warning(
            f"{hardware.num_cores} cores, of which the control group allows {limit:g}: torch starts a thread for each; "
            f"set num_threads = {hardware.usable_cores}"
        )
    return ok(f"{hardware.num_cores} of {hardware.num_cores_of_machine}")


SOFTWARE: dict[str, Callable[[Subject], Finding]] = {
    "packages": packages_there,
    "switches": switches_harmless,
    "memory": memory_enough,
}
"""Name of a check -> the check, of those that are asked before the first cell."""
